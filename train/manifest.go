package train

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Credit is what a manifest says about a file of footage.
type Credit struct {
	// Split is the part of the footage the file belongs to (train, dev), Family what is alike in content: the same place or recording.
	Split, Family string
	// Camera says how the camera moves.
	Camera string
	// Licence and Source are what a model card must name.
	Licence, Source string
	// Redistributable says that the footage, and what is made of it, may be passed on.
	Redistributable bool
}

// Manifest is a table of footage: a CSV file with a header, of which the columns file, split, family, camera, licence, source and
// redistributable (yes or no) are read; file is required. Other columns are passed over.
type Manifest struct {
	credits map[string][]Credit // by the name of the file
}

// maxManifest is the largest manifest that is read.
const maxManifest = 16 << 20

// OpenManifest reads a manifest.
func OpenManifest(path string) (*Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the manifest: %w", err)
	}
	m, err := ParseManifest(io.LimitReader(file, maxManifest))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", path, err)
	}
	return m, nil
}

// ParseManifest reads a manifest's text. Errors name the line.
func ParseManifest(r io.Reader) (*Manifest, error) {
	reader := csv.NewReader(r)
	reader.FieldsPerRecord = 0 // every row has as many columns as the header
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	name := slices.Index(header, "file")
	if name < 0 {
		return nil, fmt.Errorf("the header has no column %q; it has %s", "file", strings.Join(header, ", "))
	}
	m := &Manifest{credits: map[string][]Credit{}}
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		m.credits[row[name]] = append(m.credits[row[name]], creditOf(header, row))
	}
}

func creditOf(header, row []string) (c Credit) {
	for i, column := range header {
		switch column {
		case "split":
			c.Split = row[i]
		case "family":
			c.Family = row[i]
		case "camera":
			c.Camera = row[i]
		case "licence":
			c.Licence = row[i]
		case "source":
			c.Source = row[i]
		case "redistributable":
			c.Redistributable = row[i] == "yes"
		}
	}
	return c
}

// Of is what the manifest says about a file. Where several rows have its name, the folder it lies in tells the split.
func (m *Manifest) Of(path string) (Credit, bool) {
	if m == nil {
		return Credit{}, false
	}
	rows := m.credits[filepath.Base(path)]
	folder := filepath.Base(filepath.Dir(path))
	for _, row := range rows {
		if row.Split == folder {
			return row, true
		}
	}
	if len(rows) == 1 {
		return rows[0], true
	}
	return Credit{}, false
}
