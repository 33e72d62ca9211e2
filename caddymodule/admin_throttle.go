package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// adminThrottle is what a realm counts for a user name or a client's network. The
// limits are those of the realm's newest gate.
type adminThrottle struct {
	Realm     string        `json:"realm"`
	User      string        `json:"user,omitempty"`
	Client    string        `json:"client,omitempty"`
	Throttled bool          `json:"throttled"` // some bucket is full
	Buckets   []adminBucket `json:"buckets"`
}

type adminBucket struct {
	Bucket string `json:"bucket"`
	Count  int    `json:"count"`
	Limit  int    `json:"limit"`
	// ResetsAt is null for an empty bucket.
	ResetsAt *string `json:"resets_at"`
	Full     bool    `json:"full"`
}

// whom is the one thing that a question about limits is about, and where it is asked.
type whom struct {
	user   string
	client netip.Addr
	realms []realm
}

// readWhom takes a user or an address. What is counted lies under hashes of these,
// so that nobody, not even an operator, can list whom there is.
func readWhom(query map[string]string) (who whom, err error) {
	user, address := query["user"], query["client"]
	if (user == "") == (address == "") {
		return who, apiError(http.StatusBadRequest, errors.New("name either a user or a client's address: counters are kept under hashes, so there is no list of them"))
	}
	if address != "" {
		client, err := netip.ParseAddr(address)
		if err != nil {
			return who, apiError(http.StatusBadRequest, fmt.Errorf("client: %q is not an IP address", address))
		}
		who.client = client.Unmap().WithZone("")
	}
	who.user = user
	who.realms, err = realmsNamed(query["realm"])
	return who, err
}

// buckets are what a gate counts.
func (who whom) buckets(ctx context.Context, g *Gate) ([]throttle.Bucket, error) {
	if who.user != "" {
		return g.throttle.OfUser(ctx, who.user, g.asked(who.user))
	}
	return g.throttle.OfClient(ctx, who.client, g.asked(""))
}

func (who whom) lift(ctx context.Context, g *Gate) error {
	if who.user != "" {
		return g.throttle.LiftUser(ctx, who.user, g.asked(who.user))
	}
	return g.throttle.LiftClient(ctx, who.client, g.asked(""))
}

func (who whom) field() zap.Field {
	if who.user != "" {
		return zap.String("user", logged(who.user))
	}
	return zap.Stringer("client", who.client)
}

// asked is what the gate tells its throttle with each call.
func (g *Gate) asked(user string) (a throttle.Asked) {
	if g.asksCode() {
		a.Send, a.Destination = g.sendRules(secondstep.SignIn), g.destinationOf(user)
	}
	if g.Accounts.SignUp {
		a.SignUps = g.Accounts.SignUpLimit.PerClient
		if g.confirmsEmail {
			a.SendForSignUp, a.Email = g.sendRules(secondstep.SignUp), g.emailOf(user)
		}
	}
	return a
}

// tellThrottle says how far the limits on a user or client are used up.
func tellThrottle(w http.ResponseWriter, r *http.Request, query map[string]string) error {
	who, err := readWhom(query)
	if err != nil {
		return err
	}
	told := []adminThrottle{}
	for _, realm := range who.realms {
		g := realm.newest()
		t := adminThrottle{Realm: realm.name, User: who.user, Client: query["client"], Buckets: []adminBucket{}}
		buckets, err := who.buckets(detached(r), g)
		if err != nil {
			return storeError(realm, err)
		}
		for _, b := range buckets {
			bucket := adminBucket{Bucket: b.Name, Count: b.Count, Limit: b.Limit, Full: b.Count >= b.Limit}
			if !b.Resets.IsZero() {
				resets := timestamp(b.Resets)
				bucket.ResetsAt = &resets
			}
			t.Throttled = t.Throttled || bucket.Full
			t.Buckets = append(t.Buckets, bucket)
		}
		told = append(told, t)
	}
	writeAdmin(w, told)
	return nil
}

// liftThrottle forgets what is counted for a user or client.
func liftThrottle(w http.ResponseWriter, r *http.Request, query map[string]string) error {
	who, err := readWhom(query)
	if err != nil {
		return err
	}
	names := []string{}
	for _, realm := range who.realms {
		g := realm.newest()
		if err := who.lift(detached(r), g); err != nil {
			return storeError(realm, err)
		}
		g.logger.Info(string(eventThrottleLifted), zap.String("reason", "admin"), who.field())
		names = append(names, realm.name)
	}
	writeAdmin(w, struct {
		Lifted []string `json:"lifted"`
	}{names})
	return nil
}
