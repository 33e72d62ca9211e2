package caddymodule

import (
	"net/http"
	"strings"

	"github.com/mileusna/useragent"
)

// maxUserAgent bounds, in bytes, what is looked at of a header.
const maxUserAgent = 512

// browserName says in a few words which browser a request came from, for its
// user to read: "Firefox on Linux". It is what the client claims and decides
// nothing (HDR-7).
func browserName(r *http.Request) string {
	header := r.Header.Get("User-Agent")
	if header == "" || len(header) > maxUserAgent {
		return ""
	}
	ua := useragent.Parse(header)
	name := printable(ua.Name)
	if system := printable(ua.OS); system != "" {
		name = strings.TrimSpace(name + " on " + system)
	}
	return name
}

// printable is a text without anything that could play tricks on who reads it.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text)
}
