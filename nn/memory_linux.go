package nn

import "syscall"

const hugePage = 1 << 21

// mapMemory takes memory from the system, outside the Go heap: it is never scanned, never moved, and huge pages make its faults cheap.
func mapMemory(bytes int) ([]byte, error) {
	mem, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, err
	}
	if bytes >= hugePage {
		_ = syscall.Madvise(mem, syscall.MADV_HUGEPAGE) // a wish; the system may have none
	}
	return mem, nil
}

func unmapMemory(mem []byte) { _ = syscall.Munmap(mem) }

// threadID names the OS thread that the caller runs on.
func threadID() int { return syscall.Gettid() }
