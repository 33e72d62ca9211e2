package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI is what an operator can ask and do at Caddy's admin endpoint: who is
// signed in, and what is throttled. It has no state of its own: Caddy makes a new
// one for each configuration, and after a refused one serves that one's, so each
// request looks at the gates that are live.
type adminAPI struct{}

// CaddyModule returns the module's identity.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.captcha_gate",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Provision puts the metrics into the registry that /metrics beside it will show.
// The gates of the new configuration come later, and if it is refused before they
// do, /metrics would know nothing of those that go on.
func (adminAPI) Provision(ctx caddy.Context) error {
	if len(live.realms()) == 0 {
		return nil
	}
	return measured.register(ctx.GetMetricsRegistry())
}

// Routes implements caddy.AdminRouter.
func (a adminAPI) Routes() []caddy.AdminRoute {
	route := func(path string, methods map[string]adminHandler) caddy.AdminRoute {
		return caddy.AdminRoute{Pattern: "/captcha_gate/" + path, Handler: caddy.AdminHandlerFunc(
			func(w http.ResponseWriter, r *http.Request) error { return serveAdmin(w, r, methods) },
		)}
	}
	return []caddy.AdminRoute{
		route("sessions", map[string]adminHandler{
			http.MethodGet:    {listSessions, []string{"user", "realm", "limit", "after"}},
			http.MethodDelete: {endSessions, []string{"user", "realm"}},
		}),
		route("throttle", map[string]adminHandler{
			http.MethodGet:    {tellThrottle, []string{"user", "client", "realm"}},
			http.MethodDelete: {liftThrottle, []string{"user", "client", "realm"}},
		}),
	}
}

// adminHandler answers one method; it is told the parameters of the query, of which
// it knows these.
type adminHandler struct {
	serve      func(w http.ResponseWriter, r *http.Request, query map[string]string) error
	parameters []string
}

func serveAdmin(w http.ResponseWriter, r *http.Request, methods map[string]adminHandler) error {
	handler, ok := methods[r.Method]
	if !ok {
		w.Header().Set("Allow", "GET, DELETE")
		return apiError(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed", r.Method))
	}
	query, err := parameters(r.URL.RawQuery, handler.parameters)
	if err != nil {
		return apiError(http.StatusBadRequest, err)
	}
	return handler.serve(w, r, query)
}

func apiError(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// parameters reads a query strictly: a word that is misspelled must not end
// everybody's sessions.
func parameters(raw string, known []string) (map[string]string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	found := map[string]string{}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("unknown parameter %q: one of %s", name, strings.Join(known, ", "))
		case len(all) > 1:
			return nil, fmt.Errorf("parameter %q is given twice", name)
		case all[0] == "":
			return nil, fmt.Errorf("parameter %q is empty", name)
		}
		found[name] = all[0]
	}
	return found, nil
}

// realmsNamed are the live realms of a name, or all of them for "". There may be
// several of one name, in different stores.
func realmsNamed(name string) ([]realm, error) {
	realms := live.realms()
	if name == "" {
		return realms, nil
	}
	realms = slices.DeleteFunc(realms, func(r realm) bool { return r.name != name })
	if len(realms) == 0 {
		return nil, apiError(http.StatusNotFound, fmt.Errorf("no gate here has the realm %q", name))
	}
	return realms, nil
}

// storeError is what is said when a store does not answer. The gate's own log has
// the details.
func storeError(r realm, err error) error {
	r.newest().logger.Error("admin request failed", zap.Error(err))
	return apiError(http.StatusServiceUnavailable, fmt.Errorf("realm %s: %w", r.name, err))
}

// endSessions ends a user's sessions, or all of a realm.
func endSessions(w http.ResponseWriter, r *http.Request, query map[string]string) error {
	user, named := query["user"]
	if !named && query["realm"] == "" {
		return apiError(http.StatusBadRequest, errors.New("name a user, a realm or both"))
	}
	realms, err := realmsNamed(query["realm"])
	if err != nil {
		return err
	}
	sum := 0
	for _, realm := range realms {
		g := realm.newest()
		var n int
		if named {
			n, err = g.sessions.EndOf(detached(r), user, func(session.Listed) bool { return true })
		} else {
			n, err = g.sessions.EndAll(detached(r))
		}
		sum += n
		if n > 0 {
			g.logger.Info(string(eventSessionsEnded), zap.String("reason", "admin"), zap.Int("sessions", n), zap.String("user", logged(user)))
		}
		if err != nil {
			return storeError(realm, fmt.Errorf("%d were ended, others may go on: %w", sum, err))
		}
	}
	writeAdmin(w, struct {
		Ended int `json:"ended"`
	}{sum})
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner = (*adminAPI)(nil)
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
