package nn

import (
	"os"
	"syscall"
)

// mapping is a file in memory, read only.
type mapping struct {
	data []byte
}

func mapFile(path string) (mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return mapping{}, err
	}
	defer func() { _ = f.Close() }() // only read; the mapping outlives it
	info, err := f.Stat()
	if err != nil {
		return mapping{}, err
	}
	if info.Size() == 0 {
		return mapping{}, nil // nothing to map; the parser says what is wrong
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	return mapping{data}, err
}

func (m *mapping) close() error {
	if m.data == nil {
		return nil
	}
	data := m.data
	m.data = nil
	return syscall.Munmap(data)
}

// done says that bytes [first, last) are not needed soon: their pages need not stay in memory. They can be read again.
func (m *mapping) done(first, last int) {
	page := os.Getpagesize()
	first, last = (first+page-1)/page*page, last/page*page
	if m.data != nil && first < last {
		_ = syscall.Madvise(m.data[first:last], syscall.MADV_DONTNEED)
	}
}
