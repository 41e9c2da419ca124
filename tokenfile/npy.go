package tokenfile

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// writeNPY writes the tokens to the file and every other array to one beside it: NAME.ARRAY.npy.
func writeNPY(a *arrays) ([]string, error) {
	files := make([]string, 0, len(a.parts))
	for _, p := range a.parts {
		path := a.path
		if p.name != nameTokens {
			path = path[:len(path)-len(".npy")] + "." + p.name + ".npy"
		}
		if err := place(path, p.npy); err != nil {
			return files, err
		}
		files = append(files, path)
	}
	return files, nil
}

// writeNPZ writes all arrays into one file, as numpy.savez does: a zip archive of .npy files, not compressed.
func writeNPZ(a *arrays) ([]string, error) {
	err := place(a.path, func(w io.Writer) error {
		archive := zip.NewWriter(w)
		for _, p := range a.parts {
			entry, err := archive.CreateHeader(&zip.FileHeader{Name: p.name + ".npy", Method: zip.Store})
			if err != nil {
				return err
			}
			if err := p.npy(entry); err != nil {
				return err
			}
		}
		return archive.Close()
	})
	return []string{a.path}, err
}

// npy writes the array in NumPy's own format, version 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
func (p *part) npy(w io.Writer) error {
	const magic, alignment = "\x93NUMPY\x01\x00", 64
	shape := make([]string, 0, 6)
	for _, n := range p.whole() {
		shape = append(shape, fmt.Sprintf("%d,", n))
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
		p.dtype("<f4", "<f8", "<i4"), strings.Join(shape, " "))
	rest := (len(magic) + 2 + len(header) + 1) % alignment
	header += strings.Repeat(" ", (alignment-rest)%alignment) + "\n"
	length := binary.LittleEndian.AppendUint16(nil, uint16(len(header)))
	if _, err := io.WriteString(w, magic+string(length)+header); err != nil {
		return err
	}
	_, err := io.Copy(w, p.file)
	return err
}
