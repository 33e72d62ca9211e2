package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// patience is how long an answer may take before it counts as none.
const patience = time.Minute

// client is one connection that stays open while the server lets it. It is a
// bare one, so that the load takes little of the processors that it shares with
// what is measured. It is for one goroutine.
type client struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a whole request and reads its answer.
func (c *client) do(request []byte) (a answer, err error) {
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", c.address); err != nil {
			return answer{}, err
		}
		c.reader = bufio.NewReader(c.conn)
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	if response.Close {
		c.close()
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// What browsers and scripts say that they take.
const (
	acceptPage = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	acceptJSON = "Accept: application/json"
)

// request lays out a request; header are whole lines.
func request(method, path, body string, header ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: gate.test\r\n", method, path)
	b.WriteString("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept-Language: en-US,en;q=0.5\r\n")
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}

// visitor is somebody's browser: a connection, cookies, and an address of its
// own where the site trusts this machine to name it.
type visitor struct {
	client
	from    string
	cookies map[string]string
}

func (s *site) visitor(from string) *visitor {
	return &visitor{client: client{address: s.address}, from: from, cookies: map[string]string{}}
}

// send asks with the visitor's cookies and keeps those of the answer.
func (v *visitor) send(method, path, body string, header ...string) (answer, error) {
	if v.from != "" {
		header = append(header, "X-Forwarded-For: "+v.from)
	}
	if line := v.cookieLine(); line != "" {
		header = append(header, line)
	}
	a, err := v.do(request(method, path, body, header...))
	if err != nil {
		return a, err
	}
	for _, line := range a.header["Set-Cookie"] {
		if cookie, err := http.ParseSetCookie(line); err == nil {
			v.cookies[cookie.Name] = cookie.Value
		}
	}
	return a, nil
}

// cookieLine is the header with all cookies, "" without any.
func (v *visitor) cookieLine() string {
	pairs := make([]string, 0, len(v.cookies))
	for _, name := range slices.Sorted(maps.Keys(v.cookies)) {
		pairs = append(pairs, name+"="+v.cookies[name])
	}
	if len(pairs) == 0 {
		return ""
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}
