package state

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// RedisOptions say where Redis is and how to get in.
type RedisOptions struct {
	// URL is redis://[user:password@]host[:port][/database], or rediss:// for TLS. A cluster is found by itself.
	URL string
	// Addresses are more nodes, host:port, of a cluster or of the sentinels.
	Addresses []string
	// Master is the name of the master that the sentinels at URL and Addresses watch.
	Master string
	// Username and Password are used where URL has none.
	Username, Password string
	// SentinelUsername and SentinelPassword are those of the sentinels.
	SentinelUsername, SentinelPassword string
	// CA is a file with the certificates that sign the server's one; without, those of the system.
	CA string
	// Certificate and Key are files with which this client shows who it is.
	Certificate, Key string
}

// dialTimeout bounds connecting, which only the heartbeat does, and silence on a connection.
const dialTimeout = 500 * time.Millisecond

// cacheBytes bounds what is kept of sessions in memory, for each node of Redis.
const cacheBytes = 32 << 20

// client turns the options into those of the client library. Errors never show the URL, which has a password.
func (o RedisOptions) client() (rueidis.ClientOption, error) {
	scheme, _, _ := strings.Cut(o.URL, "://")
	switch scheme {
	case "redis", "rediss", "unix":
	default:
		return rueidis.ClientOption{}, errors.New("redis: the URL must begin with redis://, rediss:// or unix://")
	}
	c, err := rueidis.ParseURL(o.URL)
	if err != nil {
		return rueidis.ClientOption{}, errors.New("redis: the URL does not parse; it is redis://[user:password@]host[:port][/database]")
	}
	for _, a := range o.Addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return rueidis.ClientOption{}, fmt.Errorf("redis: address %q is not host:port", a)
		}
	}
	c.InitAddress = append(c.InitAddress, o.Addresses...)
	if o.Master != "" {
		c.Sentinel.MasterSet = o.Master
	}
	c.Sentinel.Username, c.Sentinel.Password = o.SentinelUsername, o.SentinelPassword
	c.Sentinel.TopologyRefreshInterval = longestWait
	if c.Username == "" && c.Password == "" {
		c.Username, c.Password = o.Username, o.Password
	}
	if err := o.secure(&c); err != nil {
		return rueidis.ClientOption{}, err
	}
	c.Sentinel.TLSConfig = c.TLSConfig
	c.Dialer.Timeout = dialTimeout
	c.Sentinel.Dialer.Timeout = dialTimeout
	c.ConnWriteTimeout = dialTimeout
	c.DisableRetry, c.DisableCache, c.AlwaysRESP2 = true, false, false
	c.PipelineMultiplex = -1 // one connection to a node, so that news and replies keep their order
	c.ClusterOption.ShardsRefreshInterval = 10 * time.Second
	c.CacheSizeEachConn = cacheBytes
	c.ClientName = "captcha-gate"
	return c, nil
}

// secrets are what no error may show.
func (o RedisOptions) secrets(c rueidis.ClientOption) (secrets []string) {
	for _, s := range []string{c.Password, o.SentinelPassword} {
		if s != "" {
			secrets = append(secrets, s)
		}
	}
	return secrets
}

func (o RedisOptions) secure(c *rueidis.ClientOption) error {
	if c.TLSConfig == nil {
		if o.CA != "" || o.Certificate != "" || o.Key != "" {
			return errors.New("redis: certificates are of use with rediss:// only")
		}
		return nil
	}
	c.TLSConfig.InsecureSkipVerify = false // whatever the URL says
	c.TLSConfig.ServerName = ""            // each node is checked against its own address
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return fmt.Errorf("redis: ca: %w", err)
		}
		c.TLSConfig.RootCAs = x509.NewCertPool()
		if !c.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("redis: ca: %s holds no certificate in PEM form", o.CA)
		}
	}
	if o.Certificate != "" || o.Key != "" {
		pair, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
		if err != nil {
			return fmt.Errorf("redis: certificate: %w", err)
		}
		c.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}
