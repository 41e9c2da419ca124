//go:build !linux

package train

import "os"

// mapFile is a file in memory.
func mapFile(path string) (data []byte, release func() error, err error) {
	data, err = os.ReadFile(path)
	return data, func() error { return nil }, err
}
