package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 20

// browser visits like a person's browser: it keeps cookies and follows no redirects.
type browser struct {
	client *http.Client
	now    func() time.Time
}

// newBrowser makes a browser that nobody has seen yet. from is the address it comes from, nil for whichever the system takes.
func (e *examination) newBrowser(from net.IP) *browser {
	jar, _ := cookiejar.New(nil) // fails for no options
	dialer := &net.Dialer{Timeout: e.Timeout}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	return &browser{now: e.Now, client: &http.Client{
		Jar: jar, Timeout: e.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: e.Timeout, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12, RootCAs: e.Roots,
				InsecureSkipVerify: e.unverified, //nolint:gosec // reported as a problem; no password is sent
			},
		},
	}}
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
	// cookies are those that it sets.
	cookies []*http.Cookie
	// asked and got are when the request left and the answer began.
	asked, got time.Time
	// local and remote are the ends of the connection.
	local, remote netip.Addr
}

// navigate loads a page as a person does.
func (b *browser) navigate(ctx context.Context, at *url.URL) (answer, error) {
	return b.send(ctx, http.MethodGet, at, nil, map[string]string{
		"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none",
	})
}

// ask loads what a script does.
func (b *browser) ask(ctx context.Context, at *url.URL) (answer, error) {
	return b.send(ctx, http.MethodGet, at, nil, map[string]string{
		"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin",
	})
}

// post sends a form as the page's script does. Browsers tell the site of a request over HTTPS and to this machine only,
// and old ones nowhere; sameSite is whether this one does.
func (b *browser) post(ctx context.Context, at *url.URL, fields map[string]string, sameSite bool) (answer, error) {
	header := map[string]string{
		"Accept": "application/json", "Content-Type": "application/json", "Origin": at.Scheme + "://" + at.Host,
	}
	if sameSite {
		header["Sec-Fetch-Mode"], header["Sec-Fetch-Dest"], header["Sec-Fetch-Site"] = "cors", "empty", "same-origin"
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return answer{}, err
	}
	return b.send(ctx, http.MethodPost, at, body, header)
}

func (b *browser) send(ctx context.Context, method string, at *url.URL, body []byte, header map[string]string) (a answer, err error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		a.local, a.remote = addrOf(info.Conn.LocalAddr()), addrOf(info.Conn.RemoteAddr())
	}})
	request, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("User-Agent", "Mozilla/5.0 (captcha-gate doctor)")
	request.Header.Set("Accept-Language", "en")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	a.asked = b.now()
	response, err := b.client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	a.got = b.now()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	a.status, a.header, a.body, a.cookies = response.StatusCode, response.Header, string(content), response.Cookies()
	return a, err
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// reply is any JSON answer of the gate.
type reply struct {
	Status     string `json:"status"`
	Code       string `json:"code"`
	RetryAfter int    `json:"retry_after"`
	User       struct {
		ID string `json:"id"`
	} `json:"user"`
}

func (a answer) reply() (r reply) {
	_ = json.Unmarshal([]byte(a.body), &r) // what is no JSON has no code
	return r
}

// isGates reports whether the gate itself made an answer: nothing else sends its policy.
func (a answer) isGates() bool {
	return strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'") || tokenIn(a.body) != "" ||
		strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Cookie realm=")
}

var (
	inputTag   = regexp.MustCompile(`<input[^>]*\bname="captcha_token"[^>]*>`)
	valueOf    = regexp.MustCompile(`\bvalue="([^"]*)"`)
	formAction = regexp.MustCompile(`<form[^>]*\bid="sign-in"[^>]*>`)
	actionOf   = regexp.MustCompile(`\baction="([^"]*)"`)
)

// tokenIn is the challenge of a page, "" if it has none.
func tokenIn(page string) string { return attribute(inputTag, valueOf, page) }

// actionIn is where a page's form goes.
func actionIn(page string) string { return attribute(formAction, actionOf, page) }

func attribute(tag, name *regexp.Regexp, page string) string {
	if match := name.FindStringSubmatch(tag.FindString(page)); match != nil {
		return html.UnescapeString(match[1])
	}
	return ""
}

// own is the address of one of the gate's paths.
func (e *examination) own(path string, query ...string) *url.URL {
	at := (&url.URL{Scheme: e.URL.Scheme, Host: e.URL.Host, Path: "/"}).JoinPath(e.prefix + path)
	if len(query) == 2 {
		at.RawQuery = url.Values{query[0]: {query[1]}}.Encode()
	}
	return at
}

// signInPage is the address of the sign-in page with a picture, also where none is asked for yet.
func (e *examination) signInPage() *url.URL { return e.own(e.Login, "kind", "image") }
