package weights

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/ensue-video/ensue/model"
)

//go:embed default
var embedded embed.FS

// Files are the files of the model directory.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "default")
	if err != nil {
		panic(err) // the name is right, or the program would not have compiled
	}
	return files
}

// Open opens the model. Close it after everything that was made from it.
func Open() (*model.Model, error) {
	m, err := model.OpenFS(Files())
	if err != nil {
		return nil, fmt.Errorf("the model that comes with the program: %w", err)
	}
	return m, nil
}
