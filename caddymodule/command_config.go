package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/certmagic"

	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

// configuration is what a command needs of Caddy's configuration. Nothing of it is
// started.
type configuration struct {
	storage json.RawMessage
	gates   []foundGate
}

// foundGate is a gate in a configuration, and what leads to it.
type foundGate struct {
	raw                  json.RawMessage
	hosts, paths, listen []string
	// protects are the paths of the gate's own matcher, where it names some.
	protects []string
	// strict is the server's trusted_proxies_strict.
	strict bool
}

// The parts of Caddy's configuration on the way to a gate.
type (
	configJSON struct {
		Storage json.RawMessage `json:"storage"`
		Apps    struct {
			HTTP struct {
				Servers map[string]struct {
					Listen      []string             `json:"listen"`
					Routes      []routeJSON          `json:"routes"`
					NamedRoutes map[string]routeJSON `json:"named_routes"`
					Strict      int                  `json:"trusted_proxies_strict"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	routeJSON struct {
		Match []struct {
			Host []string `json:"host"`
			Path []string `json:"path"`
		} `json:"match"`
		Handle []json.RawMessage `json:"handle"`
	}
	handlerJSON struct {
		Handler string      `json:"handler"`
		Routes  []routeJSON `json:"routes"`
		// Protect is the gate's own matcher.
		Protect []struct {
			Path []string `json:"path"`
		} `json:"protect"`
	}
)

// readConfig reads a configuration file as Caddy does.
func readConfig(file, adapter string) (*configuration, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if adapter == "" && !strings.HasSuffix(file, ".json") {
		adapter = "caddyfile"
	}
	if adapter != "" && adapter != "json" {
		adapts := caddyconfig.GetAdapter(adapter)
		if adapts == nil {
			return nil, fmt.Errorf("--adapter: there is no %q", adapter)
		}
		if text, _, err = adapts.Adapt(text, map[string]any{"filename": file}); err != nil {
			return nil, err
		}
	}
	var config configJSON
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	found := &configuration{storage: config.Storage}
	for _, server := range config.Apps.HTTP.Servers {
		outer := foundGate{listen: server.Listen, strict: server.Strict != 0}
		found.walk(outer, server.Routes)
		for _, route := range server.NamedRoutes {
			found.walk(outer, []routeJSON{route})
		}
	}
	return found, nil
}

// walk collects the gates below routes. The innermost host and path matchers count.
func (c *configuration) walk(outer foundGate, routes []routeJSON) {
	for _, route := range routes {
		here := outer
		var hosts, paths []string
		for _, set := range route.Match {
			hosts, paths = append(hosts, set.Host...), append(paths, set.Path...)
		}
		if len(hosts) > 0 {
			here.hosts = hosts
		}
		if len(paths) > 0 {
			here.paths = paths
		}
		for _, raw := range route.Handle {
			var handler handlerJSON
			if err := json.Unmarshal(raw, &handler); err != nil {
				continue // of a handler that has other routes
			}
			if handler.Handler == "captcha_gate" {
				gate := here
				gate.raw, gate.protects = raw, handler.protects()
				c.gates = append(c.gates, gate)
			}
			c.walk(here, handler.Routes)
		}
	}
}

// protects are the paths that a gate's matcher names. A set without any is about
// every path.
func (h handlerJSON) protects() (paths []string) {
	for _, set := range h.Protect {
		if len(set.Path) == 0 {
			return nil
		}
		paths = append(paths, set.Path...)
	}
	return paths
}

// choose finds the gate of an address. note says what is odd about the choice.
func (c *configuration) choose(host, port, at string) (found foundGate, note string, err error) {
	if len(c.gates) == 0 {
		return found, "", errors.New("there is no captcha_gate in the configuration")
	}
	best, same := 0, 0
	for _, g := range c.gates {
		switch fit := g.fit(host, port, at); {
		case fit > best:
			found, best, same = g, fit, 1
		case fit == best && fit > 0:
			same++
		}
	}
	switch {
	case same > 1:
		return found, "several gates of the configuration fit the address; this is the first", nil
	case same == 1:
		return found, "", nil
	case len(c.gates) == 1:
		return c.gates[0], fmt.Sprintf("it is the only one, and not of %s", host), nil
	}
	var names []string
	for _, g := range c.gates {
		names = append(names, g.name())
	}
	slices.Sort(names)
	return found, "", fmt.Errorf("no captcha_gate is of %s; there are those of %s", host, strings.Join(slices.Compact(names), ", "))
}

// fit is how well a gate fits an address, 0 if not at all: the host first, then the
// path, then the port, which a proxy in front may change.
func (g foundGate) fit(host, port, at string) int {
	fit := 0
	for _, h := range g.hosts {
		switch {
		case strings.EqualFold(h, host):
			fit = max(fit, 3)
		case certmagic.MatchWildcard(strings.ToLower(host), strings.ToLower(h)):
			fit = max(fit, 2)
		}
	}
	if len(g.hosts) == 0 {
		fit = 1
	}
	if fit == 0 {
		return 0
	}
	fit *= 1 << 12
	fit += g.fitPath(at)
	for _, listen := range g.listen {
		if _, p, err := net.SplitHostPort(listen); err == nil && p == port {
			return fit + 1
		}
	}
	return fit
}

// mostPattern is from which length on one path pattern is as good as another.
const mostPattern = 1000

// fitPath is how well a gate fits a path, an even number below 1<<12: the longer
// the pattern, the better. Where no route around the gate asks for paths, those
// count that it protects, and its own before all.
func (g foundGate) fitPath(at string) int {
	patterns := g.paths
	if len(patterns) == 0 {
		if g.owns(at) {
			return 4 + 2*mostPattern
		}
		patterns = g.protects
	}
	if len(patterns) == 0 {
		return 2
	}
	fit := 0
	for _, pattern := range patterns {
		if matchesPath(pattern, at) {
			fit = max(fit, 2+2*min(len(pattern), mostPattern))
		}
	}
	return fit
}

// matchesPath compares as Caddy does, without regard to case.
func matchesPath(pattern, at string) bool {
	pattern, at = strings.ToLower(pattern), strings.ToLower(at)
	if prefix, open := strings.CutSuffix(pattern, "*"); open && strings.HasPrefix(at, prefix) {
		return true // path.Match ends "*" at a slash, Caddy does not
	}
	ok, err := path.Match(pattern, at)
	return err == nil && ok
}

// owns reports whether the gate answers a path itself. What is wrong with its
// settings is told when it is the one that was chosen.
func (g foundGate) owns(at string) bool {
	gate, err := g.gate()
	return err == nil && gate.owns(at)
}

// name is the site as people know it.
func (g foundGate) name() string {
	if len(g.hosts) == 0 {
		return strings.Join(g.listen, ", ")
	}
	return strings.Join(g.hosts, ", ")
}

// gate reads the gate's own part and fills in what it leaves out, without opening
// anything.
func (g foundGate) gate() (*Gate, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(g.raw, &fields); err != nil {
		return nil, err
	}
	delete(fields, "handler")
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	gate := new(Gate)
	if err := caddy.StrictUnmarshalJSON(raw, gate); err != nil {
		return nil, err
	}
	if err := gate.expand(); err != nil {
		return nil, err
	}
	gate.setDefaults()
	for i, s := range gate.Secret {
		if len(s) < seal.MinSecret {
			return nil, fmt.Errorf("secret: value %d has %d bytes; at least %d are needed", i+1, len(s), seal.MinSecret)
		}
	}
	return gate, gate.checkShape()
}

// storedSecret reads the secret that the gate made for itself, and makes none.
func (c *configuration) storedSecret(realm string) ([]byte, error) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{StorageRaw: c.storage})
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	secret, err := ctx.Storage().Load(ctx, secretKey(realm))
	if err != nil {
		return nil, fmt.Errorf("no secret of the realm %s in Caddy's storage: %w", realm, err)
	}
	return secret, nil
}
