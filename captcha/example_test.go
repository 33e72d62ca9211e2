package captcha_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// guestBook is a small server whose form asks for a captcha.
type guestBook struct {
	maker *captcha.Maker
	epoch [16]byte // drawn at start, because spent is empty then

	mu    sync.Mutex
	spent map[[24]byte]time.Time
}

// spend remembers used challenges as long as they could be used. A server with
// several instances does this in a store that they share.
func (g *guestBook) spend(id [24]byte, until time.Time) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for old, end := range g.spent {
		if time.Now().After(end) {
			delete(g.spent, old)
		}
	}
	_, before := g.spent[id]
	g.spent[id] = until
	return !before, nil
}

// scope binds challenges to the form and to the browser, which is known by a
// cookie.
func (g *guestBook) scope(w http.ResponseWriter, r *http.Request) captcha.Scope {
	s := captcha.Scope{Purpose: "guest book", Epoch: g.epoch}
	if c, err := r.Cookie("browser"); err == nil {
		if id, err := base64.RawURLEncoding.DecodeString(c.Value); err == nil && len(id) == 16 {
			s.Binding.Browser = [16]byte(id)
			return s
		}
	}
	_, _ = rand.Read(s.Binding.Browser[:])
	id := base64.RawURLEncoding.EncodeToString(s.Binding.Browser[:])
	http.SetCookie(w, &http.Cookie{Name: "browser", Value: id, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return s
}

func (g *guestBook) form(w http.ResponseWriter, r *http.Request) {
	challenge, err := g.maker.Issue(captcha.Spec{Kind: captcha.Image}, g.scope(w, r))
	if err != nil {
		http.Error(w, "try later", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprint(w, challenge.Token) // a real page has it in a form beside <img src="/picture/TOKEN">
}

func (g *guestBook) picture(w http.ResponseWriter, r *http.Request) {
	claims, err := g.maker.Unpack(r.PathValue("token"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	picture, err := g.maker.Render(claims)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(picture)
}

func (g *guestBook) post(w http.ResponseWriter, r *http.Request) {
	err := g.maker.Check(captcha.Response{Token: r.PostFormValue("token"), Answer: r.PostFormValue("answer")}, g.scope(w, r), g.spend)
	switch {
	case err == nil:
		_, _ = io.WriteString(w, "thank you")
	case errors.Is(err, captcha.ErrWrong):
		http.Error(w, "that is not what the picture shows", http.StatusForbidden)
	default:
		http.Error(w, "please read a new picture", http.StatusForbidden)
	}
}

// A server without Caddy. Issue, Render and Check are all it needs.
func Example() {
	secret := make([]byte, 32) // from a file, so that it survives a restart
	_, _ = rand.Read(secret)
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{secret}, Realm: "guests"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer maker.Close()
	book := &guestBook{maker: maker, spent: map[[24]byte]time.Time{}}
	_, _ = rand.Read(book.epoch[:])
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", book.form)
	mux.HandleFunc("GET /picture/{token}", book.picture)
	mux.HandleFunc("POST /", book.post)
	server := httptest.NewServer(mux)
	defer server.Close()

	// A visitor comes.
	visitor := server.Client()
	visitor.Jar, _ = cookiejar.New(nil)
	say := func(response *http.Response, err error) string {
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		return strings.TrimSpace(string(body))
	}
	token := say(visitor.Get(server.URL))
	picture := say(visitor.Get(server.URL + "/picture/" + token))
	fmt.Println(http.DetectContentType([]byte(picture)))
	claims, _ := maker.Unpack(token) // stands for reading the picture
	fields := url.Values{"token": {token}, "answer": {strings.ToLower(claims.Answer)}}
	fmt.Println(say(visitor.PostForm(server.URL, fields)))
	fmt.Println(say(visitor.PostForm(server.URL, fields)))
	// Output:
	// image/png
	// thank you
	// please read a new picture
}
