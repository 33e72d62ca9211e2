package caddymodule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// askAdmin sends a request to one of the routes.
func askAdmin(t *testing.T, method, target string) (*httptest.ResponseRecorder, int) {
	t.Helper()
	path, _, _ := strings.Cut(target, "?")
	for _, route := range (adminAPI{}).Routes() {
		if route.Pattern != path {
			continue
		}
		w := httptest.NewRecorder()
		err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		if failed, ok := errors.AsType[caddy.APIError](err); ok {
			return w, failed.HTTPStatus
		}
		if err != nil {
			t.Fatal(err)
		}
		return w, w.Code
	}
	t.Fatalf("no route for %s", path)
	return nil, 0
}

func TestAdminTellsOfFaultsAsOurs(t *testing.T) {
	g := memoryGate(t, "anna")
	realm := "realm=" + g.Realm
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{
		"GET /captcha_gate/sessions?" + realm, "GET /captcha_gate/sessions?user=anna&" + realm, "DELETE /captcha_gate/sessions?" + realm,
		"DELETE /captcha_gate/sessions?user=anna&" + realm, "GET /captcha_gate/throttle?user=anna&" + realm,
		"DELETE /captcha_gate/throttle?client=192.0.2.1&" + realm,
	} {
		method, target, _ := strings.Cut(request, " ")
		if _, status := askAdmin(t, method, target); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", request, status)
		}
	}
}

func TestAListIsAnArrayAlsoWhenItIsEmpty(t *testing.T) {
	g := memoryGate(t, "anna")
	w, status := askAdmin(t, "GET", "/captcha_gate/sessions?realm="+g.Realm)
	if status != http.StatusOK || w.Body.String() != "[]\n" || w.Header().Get("Content-Type") != typeJSON {
		t.Errorf("%d %s", status, w.Body)
	}
}

// However sessions are met, pages have each once and in order, and a page never
// holds many more than were asked for.
func TestPagesHaveEverySessionOnce(t *testing.T) {
	var all []adminSession
	for i := range 500 {
		all = append(all, adminSession{
			Realm: fmt.Sprint(i % 2), User: fmt.Sprintf("user %d", i%7), ID: fmt.Sprint(i), began: int64(i / 50),
		})
	}
	for _, limit := range []int{1, 7, 499, 500, 1000} {
		var got []place
		var after *place
		for range 600 {
			p := &sheet{limit: limit, after: after}
			for _, i := range rand.Perm(len(all)) {
				p.add(all[i])
				p.add(all[i]) // as with one store under two names
				if len(p.sessions) > 2*limit+1 {
					t.Fatalf("limit %d: %d are held", limit, len(p.sessions))
				}
			}
			p.trim()
			more := len(p.sessions) > limit
			for _, s := range p.sessions[:min(limit, len(p.sessions))] {
				got = append(got, s.place())
			}
			if !more {
				break
			}
			last := got[len(got)-1]
			after = &last
		}
		if len(got) != len(all) || !slices.IsSortedFunc(got, place.compare) || len(slices.CompactFunc(got, func(a, b place) bool { return a == b })) != len(all) {
			t.Errorf("limit %d: %d sessions", limit, len(got))
		}
	}
}
