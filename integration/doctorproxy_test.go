package integration

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// between is a proxy in front of a site: what a test wants of it.
type between struct {
	// https makes the proxy speak HTTPS.
	https bool
	// request and response change what passes.
	request  func(*httputil.ProxyRequest)
	response func(*http.Response) error
	// wrap stands in front of the proxy.
	wrap func(http.Handler) http.Handler
}

// startProxy puts a proxy in front of the site. It keeps Host, as a good proxy does.
func startProxy(t *testing.T, s *site, b between) *httptest.Server {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host
			p.SetXForwarded()
			if b.request != nil {
				b.request(p)
			}
		},
		ModifyResponse: b.response,
	}
	if b.wrap != nil {
		handler = b.wrap(handler)
	}
	if b.https {
		server := httptest.NewTLSServer(handler)
		t.Cleanup(server.Close)
		s.writeFile("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
		return server
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}
