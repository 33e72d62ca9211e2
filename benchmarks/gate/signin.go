package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

const (
	sessionCookie = "captcha_gate"
	typeForm      = "Content-Type: application/x-www-form-urlencoded"
)

// challenge loads the sign-in page and returns its token.
func challenge(v *visitor) (string, error) {
	a, err := v.send("GET", "/login", "", acceptPage)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", fmt.Errorf("the sign-in page: %d", a.status)
	}
	return tokenIn(a.body)
}

// answerForm sends the form with the right answer to a challenge.
func (b *bench) answerForm(v *visitor, token, user, password string) (answer, error) {
	solution, err := b.solve(token)
	if err != nil {
		return answer{}, err
	}
	form := url.Values{"captcha_token": {token}, "captcha_answer": {solution}}
	if user != "" {
		form.Set("username", user)
		form.Set("password", password)
	}
	return v.send("POST", "/login", form.Encode(), typeForm, acceptPage)
}

// signIn signs a visitor in as people do at each side; then the visitor's
// requests pass. An empty user is for a gate that asks no password.
func (b *bench) signIn(side string, v *visitor, user string) error {
	switch side {
	case figures.Bare, figures.BareAgain:
		return nil
	case figures.BareTold: // as long as those of a gate
		v.cookies[sessionCookie] = strings.Repeat("s", 43)
		v.cookies[sessionCookie+"_browser"] = strings.Repeat("b", 118)
		return nil
	case figures.BasicAuth:
		a, err := v.send("GET", "/", "", basicLine(user, password))
		return wanted(a, err, http.StatusOK)
	case figures.CaddySecurity:
		reply, status, err := portalSignIn(v, user, password)
		if err == nil && (status != http.StatusOK || reply.AccessToken == "") {
			err = fmt.Errorf("sign-in at the portal: %d, %+v", status, reply)
		}
		v.cookies[reply.AccessTokenName] = reply.AccessToken
		return err
	}
	token, err := challenge(v)
	if err != nil {
		return err
	}
	a, err := b.answerForm(v, token, user, password)
	if err := wanted(a, err, http.StatusSeeOther); err != nil {
		return err
	}
	if v.cookies[sessionCookie] == "" {
		return fmt.Errorf("signed in without a session")
	}
	return nil
}

// signInByScript signs in where no password is asked for, without a page.
func (b *bench) signInByScript(v *visitor) error {
	a, err := v.send("GET", "/captcha-gate/challenge?for=login", "", acceptJSON)
	if err := wanted(a, err, http.StatusOK); err != nil {
		return err
	}
	var issued struct{ Token string }
	if err := json.Unmarshal(a.body, &issued); err != nil {
		return err
	}
	solution, err := b.solve(issued.Token)
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"captcha_token":%q,"captcha_answer":%q}`, issued.Token, solution)
	a, err = v.send("POST", "/login", body, "Content-Type: application/json", acceptJSON)
	return wanted(a, err, http.StatusOK)
}

func wanted(a answer, err error, status int) error {
	if err == nil && a.status != status {
		err = fmt.Errorf("got %d, expected %d: %.300s", a.status, status, a.body)
	}
	return err
}

// credentials signs a user in and returns the header line that requests carry
// from then on, "" where there is no gate.
func (b *bench) credentials(s *site, user string) ([]string, error) {
	v := s.visitor("")
	defer v.close()
	if err := b.signIn(s.side, v, user); err != nil {
		return nil, fmt.Errorf("%s: %w", s.side, err)
	}
	switch s.side {
	case figures.Bare, figures.BareAgain:
		return nil, nil
	case figures.BasicAuth:
		return []string{basicLine(user, password)}, nil
	}
	return []string{v.cookieLine()}, nil
}

// measureSignIns lets people sign in as fast as they get through.
func (b *bench) measureSignIns() error {
	sites := []config{
		{side: figures.GateLocal, users: someUsers, state: "local"},
		{side: figures.CaddySecurity, users: someUsers},
	}
	slots := []int{gateSlots(), 0}
	var started []*site
	for _, c := range sites {
		s, _, err := b.startSite(c)
		if err != nil {
			return err
		}
		started = append(started, s)
	}
	for number := 1; number <= min(b.rounds, 5); number++ {
		for i := range started {
			s := started[order(i, number, len(started))]
			hash := hashTime()
			count, took, err := b.signInFor(s, time.Duration(max(b.seconds, 3)*float64(time.Second)))
			if err != nil {
				return err
			}
			// Before and after, as a machine is not always equally fast.
			hash = (hash + hashTime()) / 2
			result := figures.SignIns{
				Side: s.side, Number: number, Count: count, Rate: float64(count) / took.Seconds(),
				Hash: millis(hash), Slots: slots[order(i, number, len(started))],
			}
			if err := b.record(figures.Record{SignIns: &result}); err != nil {
				return err
			}
		}
	}
	return nil
}

// signInFor counts the sign-ins that begin within a time, and says how long it
// took until the last was through: each is a whole one, and the hash slots were
// busy to the end.
func (b *bench) signInFor(s *site, length time.Duration) (count int, took time.Duration, err error) {
	began := time.Now()
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() {
			for n := 0; time.Since(began) < length && b.ctx.Err() == nil; n++ {
				v := s.visitor("")
				problem := b.signIn(s.side, v, userName((i+n)%someUsers))
				v.close()
				mu.Lock()
				if problem != nil {
					err = problem
				}
				count++
				took = time.Since(began)
				failed := err != nil
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	group.Wait()
	if err == nil {
		err = b.ctx.Err()
	}
	return count, took, err
}
