package session

import (
	"math"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// maxPresented is how many cookies of one name are tried. Several may arrive
// when a neighbouring host plants its own; a bad one must not shadow the good
// one, and a thousand must not cost a thousand look-ups (SES-10).
const maxPresented = 4

// Cookies knows the names and attributes of the gate's cookies: the session's,
// the browser's, which challenges are bound to, that of a sign-in which waits
// for its second step (SES-6), and that of the language chosen for the pages.
type Cookies struct {
	// Name is the session cookie's name without prefix.
	Name string
	// Domain widens the cookies to a domain and its hosts; empty keeps them on
	// this host.
	Domain string
}

// Presented are the gate's cookies as one request brought them.
type Presented struct{ sessions, browsers, pendings, languages values }

// values are what came under one name.
type values struct {
	list [maxPresented]string
	n    int
}

func (v *values) add(value string) {
	if v.n < maxPresented {
		v.list[v.n] = value
		v.n++
	}
}

func (v *values) all() []string { return v.list[:v.n] }

// Sessions are the values under the session cookie's name, at most four.
func (p *Presented) Sessions() []string { return p.sessions.all() }

// Browsers are the values under the browser cookie's name, at most four.
func (p *Presented) Browsers() []string { return p.browsers.all() }

// Pendings are the values under the cookie name of second steps, at most four.
func (p *Presented) Pendings() []string { return p.pendings.all() }

// Languages are the values under the cookie name of the chosen language, at most
// four.
func (p *Presented) Languages() []string { return p.languages.all() }

const (
	browserSuffix  = "_browser"
	pendingSuffix  = "_pending"
	languageSuffix = "_lang"
)

// prefix is what RFC 6265bis browsers hold a cookie to: __Host- cannot be set
// by a neighbouring host or over plain HTTP, __Secure- only not over plain
// HTTP, which is what a Domain leaves possible (SES-8).
func (c Cookies) prefix(secure bool) string {
	switch {
	case !secure:
		return ""
	case c.Domain != "":
		return "__Secure-"
	default:
		return "__Host-"
	}
}

// Take reads the gate's cookies from the request and cuts every spelling of
// them out of it, so that the upstream sees none (SES-12). Only the names that
// fit the connection are believed: a cookie without the prefix could have been
// planted over plain HTTP.
func (c Cookies) Take(h http.Header, secure bool) (p Presented) {
	lines := h["Cookie"]
	found := false
	for _, line := range lines {
		if strings.Contains(line, c.Name) {
			found = true
		}
	}
	if !found {
		return p
	}
	prefix := c.prefix(secure)
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = c.takeLine(line, prefix, &p); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
	} else {
		h["Cookie"] = kept
	}
	return p
}

// takeLine returns the line without the gate's cookies and the semicolons that
// set them off; every other byte of it is unchanged.
func (c Cookies) takeLine(line, prefix string, p *Presented) string {
	var kept strings.Builder
	cut, some := false, false
	for part := range strings.SplitSeq(line, ";") {
		name, value, _ := strings.Cut(part, "=")
		if !c.ours(name) {
			if some {
				kept.WriteByte(';')
			} else if cut {
				part = strings.TrimLeft(part, " \t")
			}
			some = true
			kept.WriteString(part)
			continue
		}
		cut = true
		value = strings.Trim(value, " \t")
		switch strings.Trim(name, " \t") {
		case prefix + c.Name:
			p.sessions.add(value)
		case prefix + c.Name + browserSuffix:
			p.browsers.add(value)
		case prefix + c.Name + pendingSuffix:
			p.pendings.add(value)
		case prefix + c.Name + languageSuffix:
			p.languages.add(value)
		}
	}
	if !cut {
		return line
	}
	rest := kept.String()
	if strings.Trim(rest, "; \t") == "" {
		return ""
	}
	return rest
}

// ours reports whether an upstream could read name as one of the gate's, with
// any prefix. Many programs drop more blanks around a name than HTTP knows, so
// they are dropped here too; but such a name is never believed, since a
// neighbouring host can plant it past the browser's rules for __Host-.
func (c Cookies) ours(name string) bool {
	name = strings.TrimFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || unicode.IsSpace(r) })
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__Host-"), "__Secure-")
	rest, ok := strings.CutPrefix(name, c.Name)
	return ok && (rest == "" || rest == browserSuffix || rest == pendingSuffix || rest == languageSuffix)
}

// SetSession writes the session cookie. A lifetime of 0 makes it end with the
// browser.
func (c Cookies) SetSession(w http.ResponseWriter, secure bool, token string, lifetime time.Duration) {
	c.set(w, secure, c.Name, token, maxAge(lifetime))
}

// ClearSession makes the browser forget the session cookie.
func (c Cookies) ClearSession(w http.ResponseWriter, secure bool) {
	c.set(w, secure, c.Name, "", -1)
}

// SetBrowser writes the browser cookie. A lifetime of 0 makes it end with the
// browser.
func (c Cookies) SetBrowser(w http.ResponseWriter, secure bool, value string, lifetime time.Duration) {
	c.set(w, secure, c.Name+browserSuffix, value, maxAge(lifetime))
}

// SetPending writes the cookie of a second step.
func (c Cookies) SetPending(w http.ResponseWriter, secure bool, token string, lifetime time.Duration) {
	c.set(w, secure, c.Name+pendingSuffix, token, maxAge(lifetime))
}

// ClearPending makes the browser forget the cookie of a second step.
func (c Cookies) ClearPending(w http.ResponseWriter, secure bool) {
	c.set(w, secure, c.Name+pendingSuffix, "", -1)
}

// languageLifetime is how long a choice of language is remembered. It says
// nothing about who the visitor is.
const languageLifetime = 365 * 24 * time.Hour

// SetLanguage writes the cookie of the chosen language.
func (c Cookies) SetLanguage(w http.ResponseWriter, secure bool, tag string) {
	c.set(w, secure, c.Name+languageSuffix, tag, maxAge(languageLifetime))
}

func maxAge(lifetime time.Duration) int { return int(min(lifetime/time.Second, math.MaxInt32)) }

func (c Cookies) set(w http.ResponseWriter, secure bool, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name:     c.prefix(secure) + name,
		Value:    value,
		Path:     "/",
		Domain:   c.Domain,
		MaxAge:   maxAge,
		Secure:   secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}
