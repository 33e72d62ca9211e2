package integration

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// run runs a caddy command and returns what it printed.
func (s *site) run(args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := s.command(ctx, args...)
	var out, problems strings.Builder
	command.Stdout, command.Stderr = &out, &problems
	err = command.Run()
	return out.String(), problems.String(), err
}

// An operator's own test from end to end: the site's secret is in a file, the
// command tells the answer, and it signs in.
func TestTheAnswerCommandSignsIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	secret := s.writeFile("secret", testSecret+"\n")
	s.start(s.caddyfile("captcha_gate {\nusers " + s.users + "\nsecret {file." + secret + "}\nrealm shop\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	form := map[string][]string{"username": {testUser}, "password": {testPassword}}
	challenge := token(t, v.page("/login").body)
	answer, problems, err := s.run("captcha-gate", "answer", "--secret-file", secret, "--realm", "shop", challenge)
	if err != nil {
		t.Fatalf("%v\n%s", err, problems)
	}
	form["captcha_token"], form["captcha_answer"] = []string{challenge}, []string{strings.TrimSpace(answer)}
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("%d with the answer %q", a.StatusCode, answer)
	}
	answer, problems, err = s.run("captcha-gate", "answer", "--secret-file", secret, challenge)
	if err == nil || answer != "" || !strings.Contains(problems, "realm") {
		t.Errorf("without the realm: %q, %v, %s", answer, err, problems)
	}
}

func TestTheSampleCommandWritesWhatVisitorsGet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for kind, want := range map[string]string{"image": ".png", "audio": ".wav"} {
		dir := filepath.Join(s.dir, kind)
		if _, problems, err := s.run("captcha-gate", "sample", "--dir", dir, "--count", "3", "--kind", kind, "--level", "hard"); err != nil {
			t.Errorf("%s: %v\n%s", kind, err, problems)
			continue
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 3 {
			t.Errorf("%s: %d files, %v", kind, len(files), err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file.Name(), want) {
				t.Errorf("%s: %s", kind, file.Name())
			}
		}
	}
	for _, args := range [][]string{{"--count", "3"}, {"--dir", s.dir, "--count", "0"}, {"--dir", s.dir, "--count", "1", "--level", "x"}, {"--size"}} {
		if _, problems, err := s.run(append([]string{"captcha-gate", "sample"}, args...)...); err == nil || !strings.Contains(problems, "--") {
			t.Errorf("%v: %v, %s", args, err, problems)
		}
	}
}
