package state_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

func TestRedisOptionsAreRefusedWithTheReasonAndWithoutThePassword(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options state.RedisOptions
		says    string
	}{
		"no scheme":               {state.RedisOptions{URL: "localhost:6379"}, "redis://"},
		"another scheme":          {state.RedisOptions{URL: "http://u:hidden@localhost"}, "redis://"},
		"no URL at all":           {state.RedisOptions{URL: "redis://u:hidden@[::1"}, "does not parse"},
		"database of words":       {state.RedisOptions{URL: "redis://u:hidden@localhost/first"}, "does not parse"},
		"address without port":    {state.RedisOptions{URL: "redis://localhost", Addresses: []string{"other"}}, `"other"`},
		"CA without TLS":          {state.RedisOptions{URL: "redis://localhost", CA: text}, "rediss://"},
		"CA that is missing":      {state.RedisOptions{URL: "rediss://localhost", CA: folder + "/none"}, folder + "/none"},
		"CA that is none":         {state.RedisOptions{URL: "rediss://localhost", CA: text}, text},
		"certificate without key": {state.RedisOptions{URL: "rediss://localhost", Certificate: text}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := state.OpenRedis(c.options, "r", state.Options{})
			if err == nil {
				r.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hidden") {
				t.Fatalf("error %q; want %q in it", err, c.says)
			}
		})
	}
}

func TestRedisWithUserPasswordAndDatabase(t *testing.T) {
	server := redistest.Start(t)
	// The rights that docs/cluster.md asks for.
	rights := strings.Fields("ACL SETUSER gate on >s3cret ~captcha_gate:* +get +set +getdel +del +exists +incr +pexpire +hget +hmget " +
		"+hset +evalsha +eval +hello +auth +select +ping +info +scan +client +cluster|slots +cluster|shards")
	server.Do(rights...)
	rights[2] = "modest"
	server.Do(append(rights, "-info")...)
	rights[2] = "deaf"
	server.Do(append(rights, "-client|caching")...)
	r, err := state.OpenRedis(state.RedisOptions{URL: "redis://deaf:s3cret@" + server.Addr}, "r", state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// The news of ended sessions would not come.
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("without CLIENT CACHING: %v", err)
	}
	for name, c := range map[string]struct {
		options state.RedisOptions
		ready   bool
	}{
		"in the URL":     {state.RedisOptions{URL: "redis://gate:s3cret@" + server.Addr + "/3"}, true},
		"beside the URL": {state.RedisOptions{URL: server.URL() + "/3", Username: "gate", Password: "s3cret"}, true},
		"without info":   {state.RedisOptions{URL: "redis://modest:s3cret@" + server.Addr}, true},
		"wrong":          {state.RedisOptions{URL: "redis://gate:guess@" + server.Addr}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := state.OpenRedis(c.options, "r", state.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Ready(); (err == nil) != c.ready {
				t.Fatalf("ready: %v", err)
			} else if err != nil && (!strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "guess")) {
				t.Fatalf("error %q", err)
			}
			if c.ready {
				put(t, r, sessionKey("a"), "mine")
				get(t, r, sessionKey("a"))
				if !take(t, r, epochOf(t, r), spentKey(name)) {
					t.Error("not first")
				}
				if _, err := r.Add(t.Context(), state.KeyOf("r", "failures"), 1, time.Minute); err != nil {
					t.Error(err)
				}
				met := 0
				if err := r.Walk(t.Context(), func(state.Key, []byte) error { met++; return nil }); err != nil || met != 1 {
					t.Errorf("a walk met %d, %v", met, err)
				}
				if err := r.Delete(t.Context(), sessionKey("a")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestRedisOverTLS(t *testing.T) {
	folder := t.TempDir()
	ca, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	selfSigned(t, ca, key)
	server := redistest.Start(t)
	plain, port, _ := net.SplitHostPort(server.Addr)
	tlsPort := redistest.FreePort(t)
	server.Do("CONFIG", "SET", "tls-cert-file", ca, "tls-key-file", key, "tls-ca-cert-file", ca, "tls-auth-clients", "yes", "tls-port", tlsPort)
	url := "rediss://" + net.JoinHostPort(plain, tlsPort)
	for name, c := range map[string]struct {
		options state.RedisOptions
		ready   bool
	}{
		"certificate known":     {state.RedisOptions{URL: url, CA: ca, Certificate: ca, Key: key}, true},
		"none of its own":       {state.RedisOptions{URL: url, CA: ca}, false},
		"server not known":      {state.RedisOptions{URL: url, Certificate: ca, Key: key}, false},
		"checks cannot be left": {state.RedisOptions{URL: url + "?skip_verify=true", Certificate: ca, Key: key}, false},
		"TLS to a plain port":   {state.RedisOptions{URL: "rediss://" + net.JoinHostPort(plain, port), CA: ca, Certificate: ca, Key: key}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := state.OpenRedis(c.options, "r", state.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Ready(); (err == nil) != c.ready {
				t.Fatalf("ready: %v", err)
			}
			if c.ready {
				put(t, r, sessionKey("a"), "mine")
			}
		})
	}
}

func selfSigned(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
