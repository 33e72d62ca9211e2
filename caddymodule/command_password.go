package caddymodule

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/password"
)

var (
	errInterrupted = errors.New("interrupted")
	errTypedTwice  = errors.New("the two passwords differ")
)

// maxTyped is how much of a line is read in bytes: more than any hash takes.
const maxTyped = 4 << 10

// readPassword asks for a password without echo where in is a terminal, once for
// each prompt, and takes one line of in otherwise. Nothing but the end of the line
// is taken off.
func readPassword(in *os.File, messages io.Writer, prompts ...string) (string, error) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	read := func() (string, error) { return readLine(in) }
	before, err := term.GetState(int(in.Fd()))
	isTerminal := err == nil
	if isTerminal {
		read = func() (string, error) { return prompted(in, messages, prompts) }
	}
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-interrupted:
		// The reader still waits, so that nobody else brings the echo back.
		if isTerminal {
			_ = term.Restore(int(in.Fd()), before)
			_, _ = fmt.Fprintln(messages)
		}
		return "", errInterrupted
	}
}

func prompted(in *os.File, messages io.Writer, prompts []string) (first string, err error) {
	for i, prompt := range prompts {
		_, _ = fmt.Fprint(messages, prompt)
		typed, err := term.ReadPassword(int(in.Fd()))
		_, _ = fmt.Fprintln(messages)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return "", fmt.Errorf("password: %w", err)
		case i == 0:
			first = string(typed)
		case string(typed) != first:
			return "", errTypedTwice
		}
	}
	return first, nil
}

// readLine takes off the end of the line and nothing else.
func readLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxTyped)).ReadString('\n')
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return "", fmt.Errorf("password: %w", err)
	case err != nil && len(line) == maxTyped:
		return "", fmt.Errorf("password: %w: over %d bytes", htpasswd.ErrTooLong, maxTyped)
	}
	if text, ended := strings.CutSuffix(line, "\n"); ended {
		return strings.TrimSuffix(text, "\r"), nil
	}
	return line, nil
}

// newPassword asks for a password that can be set, and returns its hash. One that is
// easy to guess is only warned of: the operator decides.
func newPassword(in *os.File, messages io.Writer, name string) (hash string, err error) {
	text, err := readPassword(in, messages, "New password: ", "Re-type new password: ")
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError }) {
		return "", fmt.Errorf("%w: it has a character that the sign-in form does not take: a control character, or no UTF-8", htpasswd.ErrPassword)
	}
	if hash, err = htpasswd.HashPassword(text); err != nil {
		return "", err
	}
	if weakness := weaknesses[password.Judge(text, password.LeastMin, name).Code]; weakness != "" {
		_, _ = fmt.Fprintf(messages, "warning: the password %s\n", weakness)
	}
	return hash, nil
}

var weaknesses = map[password.Code]string{
	password.TooShort:  fmt.Sprintf("has fewer than %d characters", password.LeastMin),
	password.TooCommon: "is easy to guess",
	password.LikeName:  "is made of the user's name",
}
