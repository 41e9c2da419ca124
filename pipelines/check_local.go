package pipelines

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// checkServe looks whether the live page's address is free. It lets go of it at once.
func checkServe(ctx context.Context, def *Definition) []Checked {
	if def.Serve == nil {
		return nil
	}
	check := Checked{Name: "page " + def.Serve.Address}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", def.Serve.Address)
	if err == nil {
		err = listener.Close()
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE): // no failure: a pipeline that runs is checked as well
		check.OK, check.Detail = true, "somebody listens there already"
		check.Hint = "where that is not this pipeline, take another serve.address"
	case err != nil:
		check.Detail, check.Hint = err.Error(), "the address may not be one of this machine: see serve.address"
	default:
		check.OK, check.Detail = true, "the address is free"
	}
	return []Checked{check}
}

// mayWrite is what the access call asks for.
const mayWrite = 2

// writable says whether this process may make files in a folder.
func writable(folder string) bool { return syscall.Access(folder, mayWrite) == nil }
