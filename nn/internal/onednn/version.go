//go:build cgo && linux && !purego

package onednn

// #include <dnnl.h>
import "C"

import "fmt"

// Version is oneDNN's own.
func Version() string {
	v := C.dnnl_version()
	return fmt.Sprintf("%d.%d.%d", int(v.major), int(v.minor), int(v.patch))
}
