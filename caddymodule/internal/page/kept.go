package page

import (
	"bytes"
	"crypto/rand"
	"io"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Most sign-in pages differ in nothing but their challenge: those for visitors who
// have not tried yet, programs above all. Executing the template is three quarters
// of what such a page costs. So the page is executed once for a stand-in of the
// token and kept in pieces, and each visitor's token is put between them.

// maxKept bounds how many pages are kept, and maxKeptAddress how long the address
// that each holds may be, in bytes: visitors choose it.
const (
	maxKept        = 64
	maxKeptAddress = 256
)

// newStandIn has the characters of a token, and nobody can guess it to have it put
// into a page.
func newStandIn() string { return "stand-in_" + rand.Text() }

// tokenCharacters need no escaping wherever they stand in HTML or an address, so
// that a token can take the place of the stand-in after escaping.
const tokenCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// keptKey tells which page to compare with.
type keptKey struct {
	lang             Lang
	prefix, returnTo string
	lifetime         int
}

// keptPage is a page without its token.
type keptPage struct {
	view   View     // with the stand-in
	pieces [][]byte // the token stands between them
}

// keptPages never hold what somebody typed beyond an address to return to.
type keptPages struct {
	mu    sync.RWMutex
	pages map[keptKey]*keptPage
}

// isKept reports whether a page is of the kind that is kept.
// Templates of an operator may do anything with the token.
func (s *Site) isKept(d *data) bool {
	return d.page == "sign-in" && !s.ownTemplates && d.Code == "" && d.UserName == "" &&
		d.Asked() && strings.Trim(d.Captcha.Token, tokenCharacters) == "" &&
		len(d.Prefix)+len(d.ReturnTo) <= maxKeptAddress
}

// renderKept is Render for a page of the kind that is kept. Whatever it shows beside
// the challenge must be equal to what the page was executed for, field by field, also
// those that come to be in the future.
func (s *Site) renderKept(w io.Writer, d *data) error {
	token, challenge := d.Captcha.Token, *d.Captcha
	challenge.Token = s.standIn
	challenge.ImageURL = strings.Replace(challenge.ImageURL, token, s.standIn, 1)
	challenge.AudioURL = strings.Replace(challenge.AudioURL, token, s.standIn, 1)
	challenge.ExpiresAt = time.Time{} // the key has the lifetime
	d.Captcha = &challenge

	key := keptKey{d.Lang, d.Prefix, d.ReturnTo, d.lifetime}
	s.kept.mu.RLock()
	p := s.kept.pages[key]
	s.kept.mu.RUnlock()
	if p == nil || !reflect.DeepEqual(&p.view, &d.View) {
		var page bytes.Buffer
		if err := s.templates.ExecuteTemplate(&page, d.page+".html", d); err != nil {
			return err
		}
		p = &keptPage{view: d.View, pieces: bytes.Split(page.Bytes(), []byte(s.standIn))}
		s.kept.put(key, p)
	}
	return p.write(w, token)
}

func (k *keptPages) put(key keptKey, p *keptPage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pages == nil || len(k.pages) >= maxKept {
		k.pages = make(map[keptKey]*keptPage) // what is asked for often comes back at once
	}
	k.pages[key] = p
}

func (p *keptPage) write(w io.Writer, token string) error {
	for i, piece := range p.pieces {
		if i > 0 {
			if _, err := io.WriteString(w, token); err != nil {
				return err
			}
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
