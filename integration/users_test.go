package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestUSR6_EditsOfTheUsersFileAreNoticed(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, prepare := range map[string]func(t *testing.T, s *site) (edit func(content string)){
		"in place": func(t *testing.T, s *site) func(string) {
			return func(content string) { write(t, s.users, content) }
		},
		"by rename, as editors do": func(t *testing.T, s *site) func(string) {
			return func(content string) {
				write(t, s.users+"~", content)
				if err := os.Rename(s.users+"~", s.users); err != nil {
					t.Fatal(err)
				}
			}
		},
		"by symlink swap, as Kubernetes does": func(t *testing.T, s *site) func(string) {
			version := 0
			edit := func(content string) {
				version++
				dir := filepath.Join(s.dir, "..v"+string(rune('0'+version)))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "users"), content)
				next := filepath.Join(s.dir, "..next")
				if err := os.Symlink(dir, next); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(next, filepath.Join(s.dir, "..data")); err != nil {
					t.Fatal(err)
				}
			}
			edit(testUser + ":" + testHash + "\n")
			if err := os.Remove(s.users); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(s.dir, "..data", "users"), s.users); err != nil {
				t.Fatal(err)
			}
			return edit
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			edit := prepare(t, s)
			s.start(s.standard(""))
			alice := newVisitor(t, s)
			alice.signIn()

			edit("bob:" + testHash + "\n")
			begun := time.Now()
			eventually(t, "SES-5: the removed user's session ended", 10*time.Second, func() bool { return !alice.isSignedIn() })
			t.Logf("noticed after %v", time.Since(begun).Round(10*time.Millisecond))
			bob := newVisitor(t, s)
			form := fields(t, bob.page("/login").body)
			form.Set("username", "bob")
			if a := bob.form("/login", form); a.StatusCode != http.StatusSeeOther {
				t.Fatalf("the new user: %d", a.StatusCode)
			}

			edit("bob:$2y$05$abcdefghijklmnopqrstuuWzSPjnmCmAqfZnHhZo1wJ.fHpQZqMqS\n")
			eventually(t, "SES-5: the session ended with the old password", 10*time.Second, func() bool { return !bob.isSignedIn() })
		})
	}
}

func TestABadEditKeepsTheLastGoodTable(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	s.writeFile("users.htpasswd", "this is no users file\nat all\n")
	eventually(t, "the bad edit is logged", 10*time.Second, func() bool {
		return s.logged("users file cannot be used; keeping the last good one")
	})
	if !v.isSignedIn() {
		t.Error("the session ended")
	}
	other := newVisitor(t, s)
	if a := other.form("/login", fields(t, other.page("/login").body)); a.StatusCode != http.StatusSeeOther {
		t.Errorf("signing in: %d", a.StatusCode)
	}
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\nmallory:plain text\n")
	eventually(t, "the good edit is in force", 10*time.Second, func() bool { return s.logged("users reloaded") })
	if !v.isSignedIn() {
		t.Error("the session ended with the mended file")
	}
}
