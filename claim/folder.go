package claim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Folder is a Store in a folder of this machine, or of a network file system that several machines have mounted.
type Folder struct {
	place Place
	path  string
}

// temporary begins the names of files that are still being written. Such a file is an orphan once it is old.
const temporary = ".ensue-claim-"

// NewFolder makes the store of a folder. The folder is made by the first Put.
func NewFolder(place Place) (*Folder, error) {
	if place.Scheme != SchemeFile || place.Prefix == "" {
		return nil, fmt.Errorf("making a folder of claims: %s is no folder: write file:///folder", place)
	}
	return &Folder{place: place, path: "/" + filepath.FromSlash(place.Prefix)}, nil
}

// Place implements Store.
func (f *Folder) Place() Place { return f.place }

// Close implements Store.
func (f *Folder) Close() error { return nil }

// root opens the folder. Invariant 1: what is opened through it stays in it, whatever links lie there.
func (f *Folder) root(make bool) (*os.Root, error) {
	if make {
		if err := os.MkdirAll(f.path, 0o750); err != nil {
			return nil, fmt.Errorf("making the folder of claims: %w", err)
		}
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		// Not ErrGone: a folder that is not there is not mounted, and says nothing about what lies in it.
		return nil, fmt.Errorf("opening the folder of claims: %w", err)
	}
	return root, nil
}

// Put implements Store. The file appears whole under its name, and folder and file are on the disk.
func (f *Folder) Put(_ context.Context, key, _ string, data []byte) (err error) {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	root, err := f.root(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	folder := path.Dir(key)
	if err := root.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("making the folder of %s: %w", f.place.ref(key), err)
	}
	name := path.Join(folder, fmt.Sprintf("%s%d-%d", temporary, os.Getpid(), time.Now().UnixNano()))
	if err := writeFile(root, name, data); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", f.place.ref(key), err), root.Remove(name))
	}
	if err := root.Rename(name, key); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", f.place.ref(key), err), root.Remove(name))
	}
	return syncUp(root, folder)
}

// writeFile writes a new file that is on the disk when it returns.
func writeFile(root *os.Root, name string, data []byte) error {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncUp makes the names in a folder and in those around it, up to the root, durable. Invariant 3.
func syncUp(root *os.Root, folder string) error {
	for {
		opened, err := root.Open(folder)
		if err != nil {
			return fmt.Errorf("opening the folder of claims %s: %w", folder, err)
		}
		if err := errors.Join(opened.Sync(), opened.Close()); err != nil {
			return fmt.Errorf("writing the folder of claims %s: %w", folder, err)
		}
		if folder == "." {
			return nil
		}
		folder = path.Dir(folder)
	}
}

// Open implements Store. Only regular files are opened: a pipe would wait for ever, a device never end.
func (f *Folder) Open(_ context.Context, key string) (io.ReadCloser, int64, error) {
	if err := checkKey(key); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	root, err := f.root(false)
	if err != nil {
		return nil, 0, err
	}
	file, err := root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err := errors.Join(err, root.Close()); err != nil {
		return nil, 0, fileError(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is not a regular file", ErrRefused)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Stat implements Store.
func (f *Folder) Stat(_ context.Context, key string) (object Object, err error) {
	root, err := f.root(false)
	if err != nil {
		return Object{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	info, err := root.Lstat(key)
	if err != nil {
		return Object{}, fileError(err)
	}
	return Object{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// List implements Store.
func (f *Folder) List(ctx context.Context, each func(Object) error) (err error) {
	root, err := f.root(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		return each(Object{Key: name, Size: info.Size(), Modified: info.ModTime()})
	})
}

// Remove implements Store. Folders that become empty stay: a writer may be about to write there.
func (f *Folder) Remove(_ context.Context, key string) (err error) {
	root, err := f.root(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", f.place.ref(key), err)
	}
	return nil
}

// fileError says which of a claim's errors an error of the file system is.
func fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrGone, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case strings.Contains(err.Error(), "escapes from parent"), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
