package web

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/stream"
)

// Config is the definition's `serve`.
type Config struct {
	// Address is host:port to listen on.
	Address string `def:"address"`
	// Token opens the page; it may be empty where only this machine can reach the address.
	Token string `def:"token"`
	// Streams is how many streams have metrics of their own.
	Streams int `def:"streams"`
	// PProf says whether the program's profiles are served too.
	PProf bool `def:"pprof"`
}

// DefaultAddress is where a page listens that names no address.
const DefaultAddress = "localhost:8080"

// MinimumToken is how short a token may be.
const MinimumToken = 16

// The codes of failures.
const (
	// CodeConfig: address or token cannot work.
	CodeConfig stream.Code = "serve.config"
	// CodeNoToken: others can reach the address, and there is no token.
	CodeNoToken stream.Code = "serve.no_token"
	// CodeListen: the address cannot be listened on.
	CodeListen stream.Code = "serve.listen"
)

// stage is who fails here.
const stage = "serve"

// Default fills what c leaves open.
func (c Config) Default() Config {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	return c
}

// Validate tells what is wrong with c: a permanent failure that names its key; nil if nothing is.
func (c Config) Validate() error {
	if err := CheckAddress(c.Address); err != nil {
		return stream.Fail(stage, CodeConfig, "serve.address: %q %w", c.Address, err)
	}
	if c.Token != "" && len(c.Token) < MinimumToken {
		return stream.Fail(stage, CodeConfig, "serve.token: it is too short: take %d characters or more", MinimumToken)
	}
	if c.Open() {
		return stream.Fail(stage, CodeNoToken, "serve.address: %s can be reached from other machines, and there is no serve.token: "+
			"set one, or listen on localhost", c.Address)
	}
	return nil
}

// Open tells whether others can reach the address and nothing keeps them out.
func (c Config) Open() bool { return c.Token == "" && !loopback(c.Address) }

// CheckAddress wants host:port; an empty host means every address of this machine, port 0 any free port.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("is not host:port, as in localhost:8080")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("has no port between 0 and 65535")
	}
	if strings.ContainsAny(host, " \t\n/@") {
		return errors.New("has no host that can be listened on")
	}
	return nil
}

// loopback tells whether nobody but this machine can reach the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return localName(host)
}

// localName tells whether the name always means this machine.
func localName(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
