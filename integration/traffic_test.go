package integration

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// handle replaces the echo of the upstream.
func (s *site) handle(f http.HandlerFunc) {
	s.upstream.mu.Lock()
	defer s.upstream.mu.Unlock()
	s.upstream.handle = f
}

func TestWebSocketGoesThrough(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-User: %s\r\n\r\n", r.Header.Get("Remote-User"))
		line, _ := rw.ReadString('\n')
		fmt.Fprintf(conn, "echo %s", line)
	})
	dial := func(cookie string) (*http.Response, *bufio.Reader, net.Conn) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n%s\r\n", cookie)
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return response, reader, conn
	}
	response, reader, conn := dial("Cookie: captcha_gate=" + sessionCookie(t, v) + "\r\n")
	defer conn.Close()
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("X-User") != testUser {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := reader.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q, %v", line, err)
	}
	refused, _, stranger := dial("")
	defer stranger.Close()
	if refused.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", refused.StatusCode)
	}
}

func TestServerSentEventsArriveOneByOne(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	arrived := make(chan struct{})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-arrived:
		case <-time.After(20 * time.Second):
			t.Error("the first event did not arrive before the second was sent")
		}
		fmt.Fprint(w, "data: two\n\n")
	})
	response, err := v.client.Get(s.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, len("data: one\n\n"))
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "data: one\n\n" {
		t.Fatalf("%q, %v", first, err)
	}
	close(arrived)
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "data: two\n\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

// upload is 100 MB that are made while they are sent.
func upload() (body io.Reader, size int64, sum string) {
	block := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	h := sha256.New()
	var parts []io.Reader
	for range 100 {
		h.Write(block)
		parts = append(parts, bytes.NewReader(block))
	}
	return io.MultiReader(parts...), int64(100 * len(block)), hex.EncodeToString(h.Sum(nil))
}

func TestAnUploadOf100MBGoesThroughUnchanged(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		_, _ = io.Copy(h, r.Body)
		fmt.Fprint(w, hex.EncodeToString(h.Sum(nil)))
	})
	for name, known := range map[string]bool{"with a length": true, "chunked": false} {
		t.Run(name, func(t *testing.T) {
			body, size, sum := upload()
			r, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/file", body)
			if err != nil {
				t.Fatal(err)
			}
			if known {
				r.ContentLength = size
			}
			if a := v.send(r); a.body != sum {
				t.Errorf("%d %s, want %s", a.StatusCode, a.body, sum)
			}
		})
	}
}

func TestINP6_AnUploadWithoutASessionIsRefusedUnread(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	// The body never comes, and the answer must not wait for it.
	fmt.Fprint(conn, "PUT /file HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\nfirst bytes")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized || !response.Close {
		t.Errorf("%d, connection closed: %v", response.StatusCode, response.Close)
	}
}

func TestHTTP2AndHTTPS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(fmt.Sprintf("{\n\tadmin %s\n\tdefault_bind 127.0.0.1\n\tlocal_certs\n\tskip_install_trust\n\thttp_port %d\n}\nhttps://localhost:%d {\n\tcaptcha_gate {\n%s\n\t}\n\treverse_proxy %s\n}\n",
		s.admin, freePort(t), s.port, s.basics(), s.upstream.address))
	s.url = fmt.Sprintf("https://localhost:%d", s.port)
	eventually(t, "there is a certificate", 30*time.Second, func() bool {
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for name, h2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, s)
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2)
			protocols.SetHTTP2(h2)
			v.client.Transport = &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"},
				Protocols:       protocols,
			}
			defer v.client.CloseIdleConnections()
			page := v.page("/")
			if page.Proto != name {
				t.Fatalf("spoke %s", page.Proto)
			}
			if c := page.Header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-captcha_gate_browser=") || !strings.Contains(c, "; Secure") {
				t.Errorf("SES-8: %s", c)
			}
			a := v.form("/login", fields(t, page.body))
			if a.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			if c := strings.Join(a.Header["Set-Cookie"], "\n"); !strings.Contains(c, "__Host-captcha_gate=") {
				t.Errorf("SES-8: %s", c)
			}
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if a := v.do("GET", "/app", ""); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"Remote-User":["`+testUser+`"]`) {
						t.Errorf("%d %s", a.StatusCode, a.body)
					}
				})
			}
			wg.Wait()
			// A cookie without the prefix could have been planted over plain HTTP.
			for _, c := range a.Cookies() {
				if c.Name != "__Host-captcha_gate" {
					continue
				}
				stranger := newVisitor(t, s)
				stranger.client.Transport = v.client.Transport
				if a := stranger.do("GET", "/app", "", "Cookie", "captcha_gate="+c.Value); a.StatusCode != http.StatusUnauthorized {
					t.Errorf("SES-8: a cookie without the prefix opens the app: %d", a.StatusCode)
				}
			}
		})
	}
}

func TestHDR1_TrailersCarryNoIdentity(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	trailers := make(chan http.Header, 1)
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer.Clone()
	})
	status := raw(t, s, "POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\nCookie: captcha_gate="+
		sessionCookie(t, v)+"\r\n\r\n2\r\nhi\r\n0\r\nDigest: abc\r\nRemote-User: root\r\nremote_groups: admin\r\n\r\n")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	got := <-trailers
	for name := range got {
		if strings.HasPrefix(strings.ToLower(name), "remote") {
			t.Errorf("the app saw the trailer %s: %v", name, got[name])
		}
	}
	if got.Get("Digest") != "abc" {
		t.Errorf("an innocent trailer is lost: %v", got)
	}
}

func TestSES10_ABadCookieDoesNotShadowTheGoodOne(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	good := "captcha_gate=" + sessionCookie(t, v)
	bad := "captcha_gate=" + strings.Repeat("A", 43)
	for _, cookies := range []string{good + "; " + bad, bad + "; " + good, bad + "; x=1; " + bad + "; " + good} {
		if a := newVisitor(t, s).do("GET", "/app", "", "Cookie", cookies); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", cookies, a.StatusCode)
		}
	}
}

func TestINP3_OddRequestsAreNoFaultOfOurs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(strings.Replace(s.caddyfile("captcha_gate {\n"+s.basics()+"\n}\nreverse_proxy "+s.upstream.address), "http://127.0.0.1:", "http://:", 1))
	for name, request := range map[string]string{
		"3,001 cookies":   "GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a=b;", 3001) + "\r\nConnection: close\r\n\r\n",
		"long cookie":     "GET / HTTP/1.1\r\nHost: x\r\nCookie: captcha_gate=" + strings.Repeat("A", 12000) + "\r\nConnection: close\r\n\r\n",
		"long language":   "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nAccept-Language: " + strings.Repeat("en-GB,", 2000) + "\r\nConnection: close\r\n\r\n",
		"long accept":     "GET / HTTP/1.1\r\nHost: x\r\nAccept: " + strings.Repeat("text/html;q=x,", 900) + "\r\nConnection: close\r\n\r\n",
		"no host":         "GET / HTTP/1.0\r\n\r\n",
		"absolute form":   "GET http://evil.example/public HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"asterisk":        "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"connect":         "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
		"trace":           "TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"PTH-6 preflight": "OPTIONS /api HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\nAccess-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			status := raw(t, s, request)
			if status >= 500 || status == http.StatusOK && name != "asterisk" {
				t.Errorf("%d", status)
			}
			if n := len(s.upstream.requests()); n != 0 {
				t.Errorf("the app was reached %d times", n)
			}
		})
	}
}
