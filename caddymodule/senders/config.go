package senders

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Every text of a configuration takes the placeholders {env.NAME} and
// {file.PATH}, once, when the configuration is loaded. Messages are never
// expanded (HDR-8).

// readBlock reads the words of a sender's braces. Every word is known, takes
// exactly its arguments, and stands there once unless it is repeatable;
// anything else is an error with file and line.
func readBlock(d *caddyfile.Dispenser, words map[string]func() error, repeatable ...string) error {
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		parse, known := words[word]
		switch {
		case !known:
			return d.Errf("unrecognized subdirective %q", word)
		case seen[word] && !slices.Contains(repeatable, word):
			return d.Errf("%s is given twice", word)
		}
		seen[word] = true
		if err := parse(); err != nil {
			return err
		}
		if inner := d.Nesting(); d.NextBlock(inner) {
			return d.Errf("%s takes no block", word)
		}
	}
	return nil
}

// readText reads the one argument of a word, which is not empty.
func readText[T ~string](d *caddyfile.Dispenser, to *T) error {
	word := d.Val()
	var value string
	if !d.AllArgs(&value) {
		return d.ArgErr()
	}
	if value == "" {
		return d.Errf("%s must not be empty", word)
	}
	*to = T(value)
	return nil
}

// field is a configured text and its name.
type field struct {
	name string
	text *string
}

// expand replaces placeholders. One that is unknown or empty is an error: a
// credential that silently became "" would be worse. The error shows only what
// is meant as a placeholder, not the part of a password that has braces.
func expand(fields ...field) error {
	replacer := caddy.NewReplacer()
	var errs []error
	for _, f := range fields {
		value, err := replacer.ReplaceOrErr(*f.text, true, true)
		switch {
		case err == nil:
			*f.text = value
		case strings.Contains(err.Error(), "{env.") || strings.Contains(err.Error(), "{file."):
			errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
		default:
			errs = append(errs, fmt.Errorf("%s: braces that are neither {env.NAME} nor {file.PATH}", f.name))
		}
	}
	return errors.Join(errs...)
}

// required refuses fields that have no value.
func required(fields ...field) error {
	for _, f := range fields {
		if *f.text == "" {
			return fmt.Errorf("%s: is needed", f.name)
		}
	}
	return nil
}

// providerURL parses the address of a service that gets codes and credentials:
// https, or http to this machine alone. A private network is not enough, for
// everyone in it can read along, and a name does not tell where it leads. The
// address is not repeated in errors, since its path may be a secret.
func providerURL(name, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("%s: is not a URL such as https://sms.example.com/send", name)
	case u.User != nil:
		return nil, fmt.Errorf("%s: must not hold a user name or password", name)
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, fmt.Errorf("%s: must not hold a fragment", name)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s: must begin with https://; http:// is only for this machine, such as http://localhost:8000", name)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%s: must begin with https://", name)
	}
	return u, nil
}

// loopback reports whether a host is this machine, by its spelling: no name is
// looked up.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// readCA reads the certificates that sign those of a server.
func readCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s holds no certificate in PEM", file)
	}
	return pool, nil
}
