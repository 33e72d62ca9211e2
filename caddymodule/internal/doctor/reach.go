package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// checkReach finds the site, connects and judges its certificate.
func (e *examination) checkReach(ctx context.Context) bool {
	host, port := e.URL.Hostname(), e.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[e.URL.Scheme]
	}
	if !e.checkDNS(ctx, host) {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(limited, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		e.problem("connection", connectAdvice(err, port), "no connection to %s: %s", net.JoinHostPort(host, port), plainFault(err))
		return false
	}
	defer conn.Close()
	remote := addrOf(conn.RemoteAddr())
	if e.URL.Scheme == "http" {
		e.ok("connection", "connected to %s", conn.RemoteAddr())
		if !remote.IsLoopback() {
			e.warn("connection", "give the site a name and no http:// in front, and Caddy gets a certificate by itself", "plain HTTP: passwords travel in the open")
		}
		return true
	}
	client := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: e.Roots, MinVersion: tls.VersionTLS12})
	if err := client.HandshakeContext(limited); err != nil {
		return e.judgeHandshake(err, host, port)
	}
	e.ok("connection", "connected to %s; the certificate is good until %s", conn.RemoteAddr(),
		client.ConnectionState().PeerCertificates[0].NotAfter.Format("2006-01-02"))
	return true
}

func (e *examination) checkDNS(ctx context.Context, host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	limited, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(limited, "ip", host)
	var missing *net.DNSError
	switch {
	case errors.As(err, &missing) && missing.IsNotFound:
		e.problem("dns", "make an A or AAAA record: "+host+". A 203.0.113.7", "DNS knows no address of %s", host)
	case err != nil:
		e.problem("dns", "check the name servers in /etc/resolv.conf", "DNS does not answer for %s: %v", host, err)
	default:
		var texts []string
		for _, a := range addresses {
			texts = append(texts, a.Unmap().String())
		}
		e.ok("dns", "%s is %s", host, strings.Join(texts, ", "))
	}
	return err == nil
}

func connectAdvice(err error, port string) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "nothing listens there: start Caddy (systemctl start caddy; caddy run --config Caddyfile), and see that it listens on port " + port
	}
	return "open port " + port + " in the firewall, and see that the address is that of this server"
}

// plainFault leaves out of an error what only programmers read.
func plainFault(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was cut"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way there"
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// judgeHandshake says what is wrong with TLS. A certificate that cannot be trusted does not end the visit, but keeps
// the password from being sent.
func (e *examination) judgeHandshake(err error, host, port string) bool {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &unknown):
		e.problem("tls", "for a certificate of your own: --ca root.crt (that of \"tls internal\" is in Caddy's data folder, pki/authorities/local/root.crt); "+
			"otherwise let Caddy get a public one", "browsers warn: nobody they know signed the certificate of %s", host)
	case errors.As(err, &name):
		e.problem("tls", "use the name that the certificate is for, or add a site for this one: "+host+" { ... }",
			"browsers warn: the certificate is for %s, not for %s", strings.Join(name.Certificate.DNSNames, ", "), host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.problem("tls", "see in Caddy's log why it was not renewed, and check the clocks", "browsers warn: the certificate is not good at this time")
	case errors.As(err, &record):
		e.problem("tls", "--url http://"+host+":"+port+"/, or let Caddy speak HTTPS there", "port %s speaks plain HTTP, not HTTPS", port)
		return false
	case errors.As(err, &alert):
		e.problem("tls", "is the site "+host+" in the Caddyfile? Caddy's log says whether it could get a certificate", "the server has no certificate for %s: %v", host, err)
		return false
	default:
		e.problem("tls", "see Caddy's log", "no TLS: %s", plainFault(err))
		return false
	}
	e.unverified = true
	return true
}
