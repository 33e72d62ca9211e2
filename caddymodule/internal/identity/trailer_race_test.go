package identity

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// HDR-1: a transport may close a body that another goroutine is reading.
func TestHDR1_TrailersAreCleanedByReaderAndCloserAtOnce(t *testing.T) {
	const upload = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: D\r\n\r\n" +
		"1\r\na\r\n0\r\nD: 1\r\nRemote-User: x\r\n\r\n"
	h, err := New("", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(upload)))
		if err != nil {
			t.Fatal(err)
		}
		h.Clean(r)
		var group sync.WaitGroup
		group.Go(func() { _, _ = io.Copy(io.Discard, r.Body) })
		group.Go(func() { _ = r.Body.Close() })
		group.Wait()
		if user := r.Trailer.Get("Remote-User"); user != "" {
			t.Fatalf("the trailer names %q", user)
		}
	}
}
