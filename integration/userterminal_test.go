package integration

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal runs a command on a terminal, types a line at each prompt and returns what the terminal showed.
func (o *operator) terminal(typed []string, args ...string) (code int, shown string) {
	o.t.Helper()
	command := o.site.command(o.t.Context(), append([]string{"captcha-gate", "user"}, args...)...)
	screen, err := pty.Start(command)
	if err != nil {
		o.t.Fatal(err)
	}
	defer screen.Close()
	var output lockedBuffer
	done := make(chan struct{})
	go func() { _, _ = io.Copy(&output, screen); close(done) }() // ends with an error when the terminal does
	for i, line := range typed {
		eventually(o.t, fmt.Sprintf("prompt %d", i+1), 20*time.Second, func() bool { return strings.Count(output.String(), "password: ") > i })
		time.Sleep(50 * time.Millisecond) // between the prompt and no echo
		if _, err := io.WriteString(screen, line); err != nil {
			o.t.Fatal(err)
		}
	}
	code = exitOf(o.t, command.Wait())
	<-done
	return code, output.String()
}

func TestPasswordsAreTypedTwiceWithoutEcho(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typed []string
		args  []string
		want  int
	}{
		"add":             {[]string{"a good password\n", "a good password\n"}, []string{"add", "bob"}, 0},
		"add, mistyped":   {[]string{"a good password\n", "a god password\n"}, []string{"add", "bob"}, 3},
		"add, stopped":    {[]string{"\x03"}, []string{"add", "bob"}, 4},
		"add, stopped 2":  {[]string{"a good password\n", "half\x03"}, []string{"add", "bob"}, 4},
		"add, nothing":    {[]string{"\n", "\n"}, []string{"add", "bob"}, 2},
		"set-password":    {[]string{"a good password\n", "a good password\n"}, []string{"set-password", "alice"}, 0},
		"verify":          {[]string{testPassword + "\n"}, []string{"verify", "alice"}, 0},
		"verify a wrong":  {[]string{"another password\n"}, []string{"verify", "alice"}, 3},
		"verify, stopped": {[]string{"\x03"}, []string{"verify", "alice"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t, "alice:"+testHash+"\n")
			before := o.content()
			code, shown := o.terminal(c.typed, c.args[0], "--file", o.file, c.args[1])
			if code != c.want || strings.Contains(shown, "good password") || strings.Contains(shown, testPassword) || strings.Contains(shown, "half") {
				t.Errorf("%d, want %d:\n%s", code, c.want, shown)
			}
			if changed := o.content() != before; changed != (c.want == 0 && c.args[0] != "verify") {
				t.Errorf("the file: %s", o.content())
			}
			if c.want == 0 && c.args[0] != "verify" {
				if code, _, says := o.with("a good password\n", "verify", "--file", o.file, c.args[1]); code != 0 {
					t.Errorf("verify: %d %s", code, says)
				}
			}
		})
	}
}

// A command that waits for a pipe ends on a signal as one at a terminal does.
func TestASignalEndsWaitingForAPassword(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "")
	command := o.site.command(t.Context(), "captcha-gate", "user", "add", "--file", o.file, "bob")
	if _, err := command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// Until the command listens, a signal ends it without a code.
	time.Sleep(2 * time.Second)
	_ = command.Process.Signal(syscall.SIGTERM)
	if code := exitOf(t, command.Wait()); code != 4 || o.content() != "" {
		t.Errorf("%d, %q", code, o.content())
	}
}
