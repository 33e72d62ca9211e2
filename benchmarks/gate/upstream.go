package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// upstreamCommand makes this program the app that all sides stand before. It is
// a process of its own so that its work is not counted as a gate's.
const upstreamCommand = "upstream"

var upstreamBody = strings.Repeat("Hello from the app. ", 5) + "\n"

func serveUpstream(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, upstreamBody)
	})}
	return server.Serve(listener)
}
