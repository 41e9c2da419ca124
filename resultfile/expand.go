package resultfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/stream"
)

// Expand finds the files of results that the paths mean: files, globs, and folders, which stand for the tables and lines directly in them.
func Expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		found, err := filepath.Glob(path)
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("looking for results: there is no %s", path)
		}
		for _, one := range found {
			if strings.HasPrefix(filepath.Base(one), ".") && one != path {
				continue // as a shell does it: what is hidden is not finished
			}
			info, err := os.Stat(one)
			if err != nil {
				return nil, fmt.Errorf("looking for results: %w", err)
			}
			if !info.IsDir() {
				files = append(files, one)
				continue
			}
			inside, err := inFolder(one)
			if err != nil {
				return nil, err
			}
			files = append(files, inside...)
		}
	}
	return files, nil
}

func inFolder(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("looking for results: %w", err)
	}
	var files []string
	for _, entry := range entries {
		if !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && slices.Contains(ReadableEndings(), ending(entry.Name())) {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("looking for results: there is no %s in %s", strings.Join(ReadableEndings(), " or "), path)
	}
	return files, nil
}

// OpenAll reads the files one after the other.
func OpenAll(paths []string) (Results, error) {
	opened := make([]Results, len(paths))
	var errs []error
	for i, path := range paths {
		results, err := Open(path)
		opened[i], errs = results, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return func(yield func(*stream.Result, error) bool) {
		for _, results := range opened {
			for result, err := range results {
				if !yield(result, err) || err != nil {
					return
				}
			}
		}
	}, nil
}
