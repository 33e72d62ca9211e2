package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/contacts"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

const (
	mendAccess = "run the doctor as the user that Caddy runs as, such as \"sudo -u caddy caddy captcha-gate doctor ...\"; " +
		"if it cannot read the file either: chown caddy FILE && chmod 600 FILE"
	// shown is how many lines of a file are named.
	shown = 5
	// redisWait is how long Redis may take to answer.
	redisWait = 3 * time.Second
)

// checkUsers looks at the users file as the gate does.
func (e *examination) checkUsers() {
	if e.HumanOnly {
		e.ok("users", "human_only: there is no users file")
		return
	}
	data, err := atomicfile.Read(e.Users)
	if err != nil {
		e.problem("users", fileAdvice(err, "users /etc/caddy/users.htpasswd"), "users file %s: %v", e.Users, err)
		return
	}
	users, problems := htpasswd.Parse(data)
	switch {
	case users.Len() == 0 && len(problems) > 0:
		e.problem("users", "it must have lines such as alice:$2y$10$...; make one with \"caddy captcha-gate user add --file FILE alice\"",
			"users file %s: no line can be used (%s)", e.Users, first(problems))
		return
	case users.Len() == 0:
		mend := "caddy captcha-gate user add --file " + e.Users + " alice"
		if users.LockedLen() > 0 {
			mend = "caddy captcha-gate user approve --file " + e.Users + " NAME"
		}
		e.problem("users", mend, "users file %s: nobody can sign in; %s locked", e.Users, plural(users.LockedLen(), "user is", "users are"))
	default:
		e.ok("users", "users file %s: %d can sign in, %d locked%s", e.Users, users.Len(), users.LockedLen(), asRoot())
	}
	if len(problems) > 0 {
		e.warn("users", "mend or remove these lines; \"caddy captcha-gate user list --file "+e.Users+"\" shows them",
			"users file %s: %s cannot be used (%s)", e.Users, plural(len(problems), "line", "lines"), first(problems))
	}
	if users.Weak() > 0 {
		e.warn("users", "in the block accounts: upgrade_hashes on; or caddy captcha-gate user set-password for each",
			"users file %s: %s easily guessed once the file is lost", e.Users, plural(users.Weak(), "hash is", "hashes are"))
	}
	e.checkUsersRights()
}

func (e *examination) checkUsersRights() {
	if info, err := os.Stat(e.Users); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0 {
		e.warn("users", "chmod o-rwx "+e.Users, "users file %s: everybody on this machine can read the hashes", e.Users)
	}
	err := htpasswd.NewEditor(e.Users).Writable()
	switch {
	case !e.EditsUsers && !e.MayEdit:
	case err == nil:
		e.ok("users", "users can change their entries in the file")
	case e.EditsUsers:
		e.problem("users", "Caddy must be able to write the file and its folder: chown -R caddy FOLDER; mount a folder into a container, never the file alone",
			"users are to change their entries, and cannot: %v", err)
	default:
		e.ok("users", "users cannot change their passwords, since the file cannot be changed: %v", err)
	}
}

// fileAdvice is what to do about a file that cannot be read.
func fileAdvice(err error, example string) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "name the file with its whole path, such as " + example + "; a relative one counts from the folder that Caddy was started in"
	}
	return mendAccess
}

// asRoot tells what a check as root cannot tell.
func asRoot() string {
	if os.Geteuid() == 0 {
		return " (as root; run as the user that Caddy runs as to be sure of its rights)"
	}
	return ""
}

func first(problems []htpasswd.Problem) string {
	var texts []string
	for _, p := range problems[:min(len(problems), shown)] {
		texts = append(texts, p.String())
	}
	if len(problems) > shown {
		texts = append(texts, "and more")
	}
	return strings.Join(texts, "; ")
}

// checkContacts looks at the contacts file as the gate does, and for users that a
// code cannot reach.
func (e *examination) checkContacts() {
	if e.Contacts == "" {
		return
	}
	file, err := contacts.Open(e.Contacts, contacts.Options{Countries: e.Countries})
	if err != nil {
		e.problem("contacts", fileAdvice(err, `contacts /etc/caddy/contacts.json`)+`; its content is {"alice": {"email": "alice@example.com", "phone": "+4915112345678"}}`, "%v", err)
		return
	}
	defer file.Close()
	e.ok("contacts", "contacts file %s: %s", e.Contacts, plural(file.Len(), "user", "users"))
	data, err := atomicfile.Read(e.Users)
	if err != nil || !e.AsksCode {
		return
	}
	unreachable := 0
	for _, line := range htpasswd.List(data) {
		contact, _ := file.Get(line.Name)
		if line.State == htpasswd.Active && (e.ByPhone && contact.Phone == "" || !e.ByPhone && contact.Email == "") {
			unreachable++
		}
	}
	if unreachable > 0 {
		e.warn("contacts", "give each user an entry in "+e.Contacts, "%s sign in: a code is asked for, and there is no contact to send it to", plural(unreachable, "user cannot", "users cannot"))
	}
}

// checkState asks whether the store is there.
func (e *examination) checkState(ctx context.Context) {
	switch e.State {
	case "memory":
		e.ok("state", "in memory: everybody signs in again after a restart of Caddy")
	case "redis":
		e.checkRedis(ctx)
	default:
		e.checkStateFile()
	}
}

func (e *examination) checkStateFile() {
	const elsewhere = "is Caddy running, with this configuration? Its data folder depends on its user and on XDG_DATA_HOME; " +
		"run the doctor as that user, or name the file: state local /var/lib/caddy/captcha-gate.db"
	held, err := state.InUse(e.StateFile)
	switch {
	case held:
		e.ok("state", "state file %s: held by a running server", e.StateFile)
	case err == nil, errors.Is(err, fs.ErrNotExist):
		why := "no running server uses it"
		if err != nil {
			why = "is not there"
		}
		e.warn("state", elsewhere, "state file %s: %s", e.StateFile, why)
	case errors.Is(err, fs.ErrPermission):
		e.warn("state", mendAccess, "state file %s: cannot be read by you", e.StateFile)
	default:
		e.problem("state", "stop Caddy, move the file away and start it: everybody signs in again", "state file %s: %v", e.StateFile, err)
	}
}

func (e *examination) checkRedis(ctx context.Context) {
	const mend = "check the address, the password and the firewall: state redis redis://USER:PASSWORD@HOST:6379; nobody can sign in meanwhile"
	store, err := state.OpenRedis(e.Redis, e.Realm, state.Options{})
	if err != nil {
		e.problem("state", mend, "redis: %v", err)
		return
	}
	defer func() { _ = store.Close() }()
	for deadline := time.Now().Add(redisWait); ; {
		if err = store.Ready(); err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		e.problem("state", mend, "redis does not work: %v", err)
		return
	}
	if warning := store.Warning(); warning != nil {
		e.warn("state", "maxmemory-policy noeviction in redis.conf", "%v", warning)
		return
	}
	e.ok("state", "redis answers and takes writes")
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
