package senders

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	// A try takes no longer than this, whatever the caller's deadline is.
	sendTimeout = 30 * time.Second

	// So much of an answer is read, and no more.
	maxAnswer = 64 << 10
)

// newTransport returns a transport of a sender's own, so that no setting of
// another part of the program reaches it. Certificates are verified.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  sendTimeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 16 << 10,
	}
}

// stayPut keeps a client from following redirects: the address that the
// operator wrote is the one that gets the code.
func stayPut(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// verdict says what an HTTP status means for a message: nil, taken; an error
// that wraps ErrRefused, never; any other, perhaps the next time. What is wrong
// with the account or the address is not the message's fault, and an operator
// may mend it while the code is still good.
func verdict(status int) error {
	switch {
	case status >= 200 && status <= 299:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return fmt.Errorf("status %d: the credentials are not accepted", status)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return fmt.Errorf("status %d: the provider asks to wait", status)
	case status >= 400 && status <= 499:
		return fmt.Errorf("status %d: %w", status, ErrRefused)
	case status >= 300 && status <= 399:
		return fmt.Errorf("status %d: redirects are not followed", status)
	default:
		return fmt.Errorf("status %d: the provider is out of order", status)
	}
}

// cause says why a provider could not be reached, in words of this package:
// those of others may hold a URL with a secret in its path, or what a server
// answered. Only errors that cannot are passed on.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate is not accepted: %w", certificate.Err)
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		if lookup.IsNotFound {
			return errors.New("no such host")
		}
		return errors.New("the host's name cannot be looked up")
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
		return errors.New("timed out")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return errors.New("the server does not speak TLS")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return errors.New("the connection was closed")
	}
	return errors.New("no usable answer")
}
