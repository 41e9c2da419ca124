package tokenfile

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// arrays is a Writer of files that hold arrays. The clips of each array go to a file of its own until the number of clips is known.
type arrays struct {
	path  string
	about map[string]string
	write func(a *arrays) ([]string, error)
	// parts are the arrays, in the order of the first clip.
	parts []*part
	clips int
	files []string
	err   error // the first that makes the rest worthless
}

func newArrays(path string, about map[string]string, write func(a *arrays) ([]string, error)) *arrays {
	return &arrays{path: path, about: maps.Clone(about), write: write}
}

// Add implements Writer.
func (a *arrays) Add(clip *Clip) error {
	if a.err != nil {
		return a.err
	}
	if err := clip.check(); err != nil {
		return fmt.Errorf("writing %s: %w", a.path, err)
	}
	all := clip.arrays(a.number(clip.File))
	if a.clips == 0 {
		a.err = a.begin(all)
	}
	if err := a.fits(clip.File, all); err != nil {
		return err
	}
	for i, array := range all {
		if a.err == nil {
			a.err = a.parts[i].add(array.values)
		}
	}
	if a.err != nil {
		a.err = fmt.Errorf("writing %s: %w", a.path, a.err)
		return a.err
	}
	if i := a.number(clip.File); i == len(a.files) {
		a.files = append(a.files, clip.File)
	}
	a.clips++
	return nil
}

// number is the place of a file among the files, -1 for none.
func (a *arrays) number(file string) int {
	if file == "" {
		return -1
	}
	if i := slices.Index(a.files, file); i >= 0 {
		return i
	}
	return len(a.files)
}

func (a *arrays) begin(all []array) error {
	for _, array := range all {
		p, err := newPart(filepath.Dir(a.path), array)
		if err != nil {
			return err
		}
		a.parts = append(a.parts, p)
	}
	return nil
}

// fits holds a clip's arrays against those of the first clip.
func (a *arrays) fits(file string, all []array) error {
	if a.err != nil {
		return fmt.Errorf("writing %s: %w", a.path, a.err)
	}
	for _, p := range a.parts {
		i := slices.IndexFunc(all, func(array array) bool { return array.name == p.name })
		if i < 0 {
			return &ShapeError{File: file, Array: p.name, Expected: p.shape}
		}
		if !slices.Equal(p.shape, all[i].shape) {
			return &ShapeError{File: file, Array: p.name, Expected: p.shape, Found: all[i].shape}
		}
	}
	for _, array := range all {
		if !slices.ContainsFunc(a.parts, func(p *part) bool { return p.name == array.name }) {
			return &ShapeError{File: file, Array: array.name, Found: array.shape}
		}
	}
	return nil
}

// Close implements Writer.
func (a *arrays) Close() (Written, error) {
	defer a.Abort()
	if a.err != nil || a.clips == 0 {
		return Written{}, a.err
	}
	done, err := a.close()
	if err != nil {
		return Written{}, fmt.Errorf("writing %s: %w", a.path, err)
	}
	return done, nil
}

func (a *arrays) close() (done Written, err error) {
	for _, p := range a.parts {
		if err := p.rewind(a.clips); err != nil {
			return done, err
		}
		done.Arrays = append(done.Arrays, Array{p.name, p.dtype("float32", "float64", "int32"), p.whole()})
	}
	if len(a.files) > 0 {
		names, err := json.Marshal(a.files)
		if err != nil {
			return done, err
		}
		if a.about == nil {
			a.about = map[string]string{}
		}
		a.about["files"] = string(names)
	}
	done.Files, err = a.write(a)
	return done, err
}

// Abort implements Writer.
func (a *arrays) Abort() {
	for _, p := range a.parts {
		p.remove()
	}
	a.parts = nil
	if a.err == nil {
		a.err = errors.New("the file is closed")
	}
}

// part is one array on its way, in a file of its own.
type part struct {
	array // values are those of the first clip, for their type
	file  *os.File
	out   *bufio.Writer
	clips int
}

func newPart(folder string, a array) (*part, error) {
	file, err := os.CreateTemp(folder, ".ensue-*.part")
	if err != nil {
		return nil, err
	}
	return &part{array: a, file: file, out: bufio.NewWriterSize(file, 1<<18)}, nil
}

func (p *part) add(values any) error { return binary.Write(p.out, binary.LittleEndian, values) }

// rewind goes back to the beginning, to be read.
func (p *part) rewind(clips int) error {
	p.clips = clips
	if err := p.out.Flush(); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// whole is the shape with the clips along the first axis.
func (p *part) whole() []int { return append([]int{p.clips}, p.shape...) }

// bytes is how many bytes the array has.
func (p *part) bytes() int64 {
	size := int64(4)
	if _, double := p.values.([]float64); double {
		size = 8
	}
	for _, n := range p.whole() {
		size *= int64(n)
	}
	return size
}

func (p *part) remove() {
	_ = p.file.Close() // it is thrown away
	_ = os.Remove(p.file.Name())
}

// place writes a file beside path and then puts it there: a reader never sees half of one.
func place(path string, fill func(w io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".ensue-*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	out := bufio.NewWriterSize(file, 1<<20)
	if err := fill(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return publish(file, path)
}

// publish gives a finished file its name and the rights of an ordinary one.
func publish(file *os.File, path string) error {
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
