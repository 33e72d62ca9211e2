package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
)

// The exit codes of Apache's htpasswd, and what brings them about here.
const (
	exitFile        = 1
	exitUsage       = 2
	exitVerify      = 3
	exitInterrupted = 4
	exitTooLong     = 5
	exitName        = 6
	exitNotUsers    = 7

	exitCodes = `Exit codes, as of Apache's htpasswd:
  0  done; also when the user to remove is not there
  1  the file cannot be read or written, or is missing without --create
  2  wrong command line, or a password that cannot be used
  3  wrong password (verify), or the two typed passwords differ
  4  interrupted
  5  too long: name, password or line of input
  6  a name with illegal characters, one that is there already (add), or one
     that is not (set-password, verify, approve)
  7  not a users file: a line without a colon, or an entry that cannot be used`

	passwordHelp = `The password is typed twice without echo. Where standard input is no terminal,
its first line is the password, without the end of the line. It is never an
argument, which other users of the machine could see.`
)

// maxUserName is how long any name may be in bytes, here as for htpasswd.
const maxUserName = 255

var (
	errUsage    = errors.New("wrong command line")
	errVerify   = errors.New("password verification failed")
	errNotUsers = errors.New("not a users file")
	errBadName  = errors.New("illegal character ':' in the user name")
)

// userCommand edits the users file while the gate reads it.
func userCommand() *cobra.Command {
	var t userTool
	command := &cobra.Command{
		Use:   "user add|set-password|remove|list|verify|approve --file FILE [NAME]",
		Short: "Change and show the users file",
		Long: "Change and show the users file. A running gate takes changes in within 2 seconds,\n" +
			"Apache and nginx read the file too, and several of these commands may run at once.\n\n" + exitCodes,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				return failed(command, fmt.Errorf("%w: unknown command %q", errUsage, args[0]))
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error {
			_ = command.Usage()
			return failed(command, fmt.Errorf("%w: what to do is missing", errUsage))
		},
	}
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return failed(command, fmt.Errorf("%w: %w", errUsage, err))
	})
	command.PersistentFlags().StringVar(&t.file, "file", "", "the users file (required)")
	const run = "  caddy captcha-gate user "
	add := t.command("add NAME", "Add a user", passwordHelp,
		run+"add --file /etc/caddy/users.htpasswd --create alice\n"+
			"  printf '%s\\n' \"$PASSWORD\" |"+run[1:]+"add --file /etc/caddy/users.htpasswd bob", t.add)
	add.Flags().BoolVar(&t.create, "create", false, "make the file (mode 0600) if there is none")
	list := t.command("list", "Show all users", "", run+"list --file /etc/caddy/users.htpasswd\n"+
		run+"list --file /etc/caddy/users.htpasswd --json | jq -r '.[] | select(.weak) | .name'", func(string) error { return t.list() })
	list.Flags().BoolVar(&t.json, "json", false, "as JSON")
	command.AddCommand(add, list,
		t.command("set-password NAME", "Give a user another password",
			passwordHelp+"\n\nThe user's sessions end. A user who is locked stays locked.",
			run+"set-password --file /etc/caddy/users.htpasswd alice", t.setPassword),
		t.command("remove NAME", "Remove a user", "The user's sessions end.",
			run+"remove --file /etc/caddy/users.htpasswd alice", t.remove),
		t.command("verify NAME", "Tell by the exit code whether a password is right",
			strings.Replace(passwordHelp, "typed twice", "typed", 1),
			run+"verify --file /etc/caddy/users.htpasswd alice && echo right", t.verify),
		t.command("approve NAME", "Unlock a user who signed up and waits", "",
			run+"approve --file /etc/caddy/users.htpasswd carol", t.approve))
	return command
}

// userTool has what the commands share.
type userTool struct {
	file         string
	create, json bool
}

// command makes one of the commands; it takes a name if its usage says so.
func (t *userTool) command(use, short, long, example string, run func(name string) error) *cobra.Command {
	arguments := len(strings.Fields(use)) - 1
	if long != "" {
		long += "\n\n"
	}
	return &cobra.Command{
		Use: use, Short: short, Long: short + ".\n\n" + long + exitCodes, Example: example,
		Args: func(command *cobra.Command, args []string) error {
			switch {
			case len(args) < arguments:
				return failed(command, fmt.Errorf("%w: the user's name is missing", errUsage))
			case len(args) > arguments:
				return failed(command, fmt.Errorf("%w: too many arguments; a password is never one of them", errUsage))
			case t.file == "":
				return failed(command, fmt.Errorf("%w: --file: the users file is missing", errUsage))
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			err := checkUserName(name)
			if err == nil {
				err = run(name)
			}
			return failed(command, err)
		},
	}
}

// failed ends a command with the code that its error stands for.
func failed(command *cobra.Command, err error) error {
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return exitCode(err), err })(command, nil)
}

func exitCode(err error) int {
	for _, c := range []struct {
		code   int
		errors []error
	}{
		{exitTooLong, []error{htpasswd.ErrTooLong}}, // before those that wrap it
		{exitUsage, []error{errUsage, htpasswd.ErrPassword}},
		{exitVerify, []error{errVerify, errTypedTwice}},
		{exitInterrupted, []error{errInterrupted}},
		{exitName, []error{errBadName, htpasswd.ErrName, htpasswd.ErrExists, htpasswd.ErrUnknown}},
		{exitNotUsers, []error{errNotUsers, htpasswd.ErrNoEffect, htpasswd.ErrOthers}},
	} {
		for _, is := range c.errors {
			if errors.Is(err, is) {
				return c.code
			}
		}
	}
	if err != nil {
		return exitFile
	}
	return 0
}

// checkUserName holds what no file can have, whatever is to be done.
func checkUserName(name string) error {
	switch {
	case len(name) > maxUserName:
		return fmt.Errorf("user name: %w: over %d bytes", htpasswd.ErrTooLong, maxUserName)
	case strings.Contains(name, ":"):
		return errBadName
	}
	return nil
}

// read reads the file and makes sure that it is a users file.
func (t *userTool) read() (data []byte, users *htpasswd.Table, err error) {
	if data, err = atomicfile.Read(t.file); err != nil {
		return nil, nil, fmt.Errorf("users file %q: %w", t.file, err)
	}
	if line := htpasswd.Foreign(data); line > 0 {
		err = fmt.Errorf("%w: %q: line %d has no colon", errNotUsers, t.file, line)
	}
	users, _ = htpasswd.Parse(data)
	return data, users, err
}

// say tells the operator, and leaves standard output to what was asked for.
func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (t *userTool) add(name string) error {
	if err := htpasswd.ValidName(name); err != nil {
		return err
	}
	_, users, err := t.read()
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && !t.create:
		return fmt.Errorf("%w; --create makes it", err)
	case err != nil && !missing:
		return err
	case !missing && users.Has(name, nil):
		return fmt.Errorf("%q: %w; set-password gives another password", name, htpasswd.ErrExists)
	}
	hash, err := newPassword(os.Stdin, os.Stderr, name)
	if err != nil {
		return err
	}
	if missing {
		if err := makeFile(t.file); err != nil {
			return err
		}
	}
	if err := htpasswd.NewEditor(t.file).Add(name, hash, htpasswd.AddOptions{}); err != nil {
		return err
	}
	say("user %q added", name)
	return nil
}

// makeFile makes an empty file that nobody else can read. One that appeared in the
// meantime is as good.
func makeFile(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("users file: %w", err)
	}
	return file.Close()
}

func (t *userTool) setPassword(name string) error {
	_, users, err := t.read()
	if err == nil {
		err = known(users, name)
	}
	if err != nil {
		return err
	}
	hash, err := newPassword(os.Stdin, os.Stderr, name)
	if err == nil {
		err = htpasswd.NewEditor(t.file).ReplaceHash(name, hash)
	}
	if err != nil {
		return err
	}
	say("password of %q changed", name)
	if users.Locked(name) {
		say("the user is still locked; approve unlocks")
	}
	return nil
}

func known(users *htpasswd.Table, name string) error {
	if !users.Has(name, nil) {
		return fmt.Errorf("%q: %w", name, htpasswd.ErrUnknown)
	}
	return nil
}

func (t *userTool) remove(name string) error {
	if _, _, err := t.read(); err != nil {
		return err
	}
	err := htpasswd.NewEditor(t.file).Remove(name)
	if errors.Is(err, htpasswd.ErrUnknown) {
		// As htpasswd -D has it: afterwards there is no such user, as asked.
		say("user %q not found", name)
		return nil
	}
	if err == nil {
		say("user %q removed", name)
	}
	return err
}

func (t *userTool) verify(name string) error {
	_, users, err := t.read()
	if err == nil {
		err = known(users, name)
	}
	if err != nil {
		return err
	}
	text, err := readPassword(os.Stdin, os.Stderr, "Enter password: ")
	if err != nil {
		return err
	}
	if _, ok := users.Verify(name, text); ok {
		say("password of %q is right", name)
		return nil
	}
	if users.Locked(name) {
		return fmt.Errorf("%w: the user is locked", errVerify)
	}
	if _, usable := users.Fingerprint(name); !usable {
		return fmt.Errorf("%w: the user's line cannot be used; list says why", errVerify)
	}
	return errVerify
}

func (t *userTool) approve(name string) error {
	_, users, err := t.read()
	if err != nil {
		return err
	}
	err = htpasswd.NewEditor(t.file).Approve(name)
	if _, usable := users.Fingerprint(name); usable && errors.Is(err, htpasswd.ErrNotLocked) {
		say("user %q is not locked", name)
		return nil
	}
	if errors.Is(err, htpasswd.ErrNotLocked) {
		return fmt.Errorf("%w: the line of %q cannot be used; set-password mends it", errNotUsers, name)
	}
	if err == nil {
		say("user %q approved", name)
	}
	return err
}

// listedUser is a line of the file as scripts get it.
type listedUser struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Reason string `json:"reason"`
	Hash   string `json:"hash"`
	Weak   bool   `json:"weak"`
	Line   int    `json:"line"`
}

// list shows also a file that is damaged, and says so at the end.
func (t *userTool) list() error {
	data, _, err := t.read()
	if err != nil && !errors.Is(err, errNotUsers) {
		return err
	}
	users := []listedUser{}
	for _, l := range htpasswd.List(data) {
		users = append(users, listedUser{l.Name, l.State, l.Reason, l.Hash, l.Weak, l.Number})
	}
	show := showUsers
	if t.json {
		show = showJSON
	}
	if failure := show(os.Stdout, users); failure != nil {
		return failure
	}
	return err
}

func showJSON(w io.Writer, users []listedUser) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(users)
}

func showUsers(w io.Writer, users []listedUser) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NAME\tSTATE\tHASH\tSTRENGTH\tLINE\tREASON")
	for _, u := range users {
		strength := "good"
		switch {
		case u.Hash == "":
			u.Hash, strength = "-", "-"
		case u.Weak:
			strength = "weak"
		}
		if u.Reason == "" {
			u.Reason = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", visible(u.Name), u.State, u.Hash, strength, u.Line, u.Reason)
	}
	return table.Flush()
}

// visible is a name as it can be shown: what steers a terminal is escaped.
func visible(name string) string {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsGraphic(c) || c == unicode.ReplacementChar }) {
		return strconv.Quote(name)
	}
	return name
}
