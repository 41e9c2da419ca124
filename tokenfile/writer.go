package tokenfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Writer writes a file clip by clip.
type Writer interface {
	// Add adds a clip. One of another shape than those before it is refused with a *ShapeError, but by Parquet, which has a row
	// for every token; the file goes on without it.
	Add(clip *Clip) error
	// Close puts the file in its place and says what there is now. Without clips no file is written.
	Close() (Written, error)
	// Abort gives up: no file is left. After Close it does nothing.
	Abort()
}

// Written is what a Writer has written.
type Written struct {
	Files  []string `json:"files"`
	Arrays []Array  `json:"arrays,omitempty"`
	// Rows is how many rows a table has.
	Rows int `json:"rows,omitempty"`
}

// Array describes an array of a file.
type Array struct {
	Name string `json:"name"`
	// Dtype is NumPy's name for the type of its numbers.
	Dtype string `json:"dtype"`
	Shape []int  `json:"shape"`
}

// ShapeError says that a clip does not fit those before it.
type ShapeError struct {
	// File is where the clip comes from, Array which array does not fit.
	File, Array string
	// Expected is the shape of those before it, Found the clip's; nil where there is no such array.
	Expected, Found []int
}

func (e *ShapeError) Error() string {
	switch {
	case e.Expected == nil:
		return fmt.Sprintf("array %s of a clip of %s: expected none as of the clips before it, found shape %v", e.Array, e.File, e.Found)
	case e.Found == nil:
		return fmt.Sprintf("array %s of a clip of %s: expected shape %v as of the clips before it, found none", e.Array, e.File, e.Expected)
	}
	return fmt.Sprintf("array %s of a clip of %s: expected shape %v as of the clips before it, found %v",
		e.Array, e.File, e.Expected, e.Found)
}

// kinds are the kinds of file by their extension: to add one, add a line.
var kinds = map[string]func(path string, about map[string]string) Writer{
	".safetensors": func(path string, about map[string]string) Writer { return newArrays(path, about, writeSafetensors) },
	".npz":         func(path string, about map[string]string) Writer { return newArrays(path, about, writeNPZ) },
	".npy":         func(path string, about map[string]string) Writer { return newArrays(path, about, writeNPY) },
	".parquet":     func(path string, about map[string]string) Writer { return newTable(path, about) },
}

// Kinds are the extensions that Create knows.
func Kinds() []string {
	known := make([]string, 0, len(kinds))
	for extension := range kinds {
		known = append(known, extension)
	}
	slices.Sort(known)
	return known
}

// Known says whether Create writes files of such a name.
func Known(path string) error {
	if _, ok := kinds[strings.ToLower(filepath.Ext(path))]; !ok {
		return fmt.Errorf("%s: the extension says what kind of file is written: %s", path, strings.Join(Kinds(), ", "))
	}
	return nil
}

// Create begins a file. Its extension says what kind it is; about is written into it where its kind has a place for it. The folder must
// be there; a file of that name is replaced by Close.
func Create(path string, about map[string]string) (Writer, error) {
	if err := Known(path); err != nil {
		return nil, fmt.Errorf("creating %w", err)
	}
	return kinds[strings.ToLower(filepath.Ext(path))](path, about), nil
}
