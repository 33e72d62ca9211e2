package redistest

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// Door is an address that leads to one server after another, as that of a balancer does. Connections that are open stay.
type Door struct {
	// Addr is host:port.
	Addr   string
	target atomic.Pointer[string]
}

// StartDoor opens a door until the test ends.
func StartDoor(t testing.TB, target string) *Door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	d := &Door{Addr: listener.Addr().String()}
	d.LeadTo(target)
	go func() {
		for {
			inner, err := listener.Accept()
			if err != nil {
				return
			}
			go d.pass(inner)
		}
	}()
	return d
}

// LeadTo sends new connections somewhere else.
func (d *Door) LeadTo(target string) { d.target.Store(&target) }

func (d *Door) pass(inner net.Conn) {
	defer inner.Close()
	outer, err := net.Dial("tcp", *d.target.Load())
	if err != nil {
		return
	}
	defer outer.Close()
	go func() {
		_, _ = io.Copy(outer, inner)
		_ = outer.Close()
	}()
	_, _ = io.Copy(inner, outer)
}
