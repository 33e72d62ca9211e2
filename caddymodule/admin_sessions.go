package caddymodule

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

// adminSession is a session as an operator sees it. Its id names it and opens
// nothing; a session without a name has an empty user.
type adminSession struct {
	User      string `json:"user"`
	Since     string `json:"since"`
	LastSeen  string `json:"last_seen"`
	ExpiresAt string `json:"expires_at"`
	Network   string `json:"network"`
	Browser   string `json:"browser"`
	Level     string `json:"level"`
	Realm     string `json:"realm"`
	ID        string `json:"id"`

	began int64 // Unix time in milliseconds
}

var levelNames = map[session.Level]string{
	session.Human: "human", session.Password: "password", session.SecondStep: "second_step",
}

func newAdminSession(r realm, s session.Listed) adminSession {
	return adminSession{
		User: s.User, Since: timestamp(s.Created), LastSeen: timestamp(s.Seen), ExpiresAt: timestamp(s.Expires),
		Network: s.Network, Browser: s.Browser, Level: levelNames[s.Level], Realm: r.name, ID: s.ID,
		began: s.Created.UnixMilli(),
	}
}

// place is where a session stands in the list: by realm and user, the oldest first.
// Nothing of it changes while a session lives, so that pages neither miss nor repeat
// one.
type place struct {
	Realm string `json:"r"`
	User  string `json:"u"`
	Began int64  `json:"b"`
	ID    string `json:"i"`
}

func (s adminSession) place() place { return place{s.Realm, s.User, s.began, s.ID} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.Realm, q.Realm), cmp.Compare(p.User, q.User), cmp.Compare(p.Began, q.Began), cmp.Compare(p.ID, q.ID))
}

// sheet collects the first sessions behind a place. However many there are, it holds
// no more than twice its limit.
type sheet struct {
	after    *place
	limit    int // 0 for none
	sessions []adminSession
}

func (p *sheet) add(s adminSession) {
	if p.after != nil && s.place().compare(*p.after) <= 0 {
		return
	}
	p.sessions = append(p.sessions, s)
	if p.limit > 0 && len(p.sessions) > 2*p.limit {
		p.trim()
	}
}

// trim sorts, and keeps one more than the limit, which tells that there are more.
func (p *sheet) trim() {
	slices.SortFunc(p.sessions, func(a, b adminSession) int { return a.place().compare(b.place()) })
	p.sessions = slices.CompactFunc(p.sessions, func(a, b adminSession) bool { return a.place() == b.place() })
	if p.limit > 0 && len(p.sessions) > p.limit {
		p.sessions = p.sessions[:p.limit+1]
	}
}

// newSheet reads the parameters limit and after.
func newSheet(query map[string]string) (*sheet, error) {
	p := new(sheet)
	if text, ok := query["limit"]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("limit: %q is not a number above 0", text)
		}
		p.limit = n
	}
	if text, ok := query["after"]; ok {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || json.Unmarshal(raw, &p.after) != nil || p.after == nil {
			return nil, errors.New("after: not what a Link header said")
		}
	}
	return p, nil
}

// listSessions lists the live sessions as a JSON array. With a limit the header Link
// has the address of the next page.
func listSessions(w http.ResponseWriter, r *http.Request, query map[string]string) error {
	p, err := newSheet(query)
	if err != nil {
		return apiError(http.StatusBadRequest, err)
	}
	realms, err := realmsNamed(query["realm"])
	if err != nil {
		return err
	}
	for _, realm := range realms {
		if err := collect(r, realm, query["user"], p); err != nil {
			return storeError(realm, err)
		}
	}
	p.trim()
	if p.limit > 0 && len(p.sessions) > p.limit {
		p.sessions = p.sessions[:p.limit]
		last, err := json.Marshal(p.sessions[p.limit-1].place())
		if err != nil {
			return err
		}
		next := url.Values{"after": {base64.RawURLEncoding.EncodeToString(last)}}
		for _, name := range []string{"user", "realm", "limit"} {
			if value, ok := query[name]; ok {
				next.Set(name, value)
			}
		}
		w.Header().Set("Link", "<"+r.URL.Path+"?"+next.Encode()+`>; rel="next"`)
	}
	writeList(w, p.sessions)
	return nil
}

// collect adds the sessions of a realm. Those of one user are found by the user's
// own list; for all of them the whole store is walked through.
func collect(r *http.Request, realm realm, user string, p *sheet) error {
	add := func(s session.Listed) {
		if realm.isCurrent(s.Record) {
			p.add(newAdminSession(realm, s))
		}
	}
	sessions := realm.newest().sessions
	if user == "" {
		return sessions.Each(detached(r), add)
	}
	all, err := sessions.List(detached(r), user)
	for _, s := range all {
		add(s)
	}
	return err
}

// writeList writes one session after the other: a long list is never in memory as
// JSON as well.
func writeList(w http.ResponseWriter, sessions []adminSession) {
	w.Header().Set("Content-Type", typeJSON)
	out := bufio.NewWriter(w)
	for i, s := range sessions {
		line, err := json.Marshal(s)
		if err != nil {
			panic(err) // it holds texts only
		}
		separator := ",\n"
		if i == 0 {
			separator = "["
		}
		_, _ = out.WriteString(separator)
		_, _ = out.Write(line)
	}
	if len(sessions) == 0 {
		_, _ = out.WriteString("[")
	}
	_, _ = out.WriteString("]\n")
	_ = out.Flush() // the only error left is a client that went away
}

// writeAdmin answers with one value.
func writeAdmin(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", typeJSON)
	_ = json.NewEncoder(w).Encode(body) // the only error left is a client that went away
}
