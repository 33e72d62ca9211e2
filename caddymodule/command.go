package caddymodule

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "captcha-gate",
		Short: "Tools of Captcha Gate: user, doctor, sample, answer",
		CobraFunc: func(command *cobra.Command) {
			command.Args = cobra.NoArgs
			command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
			command.AddCommand(userCommand(), doctorCommand(), sampleCommand(), answerCommand())
		},
	})
}

// sampleCommand writes labelled challenges, for operators who want to see what
// their visitors see, and for programs that measure it.
func sampleCommand() *cobra.Command {
	var o sampleOptions
	command := &cobra.Command{
		Use:   "sample --dir DIR --count N",
		Short: "Write challenges as ANSWER_n.png or ANSWER_n.wav",
		Example: "  caddy captcha-gate sample --dir samples --count 20 --level hard\n" +
			"  caddy captcha-gate sample --dir samples --count 5 --kind audio --language de",
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			if err := o.write(); err != nil {
				return 1, err
			}
			return 0, nil
		}),
	}
	flags := command.Flags()
	flags.StringVar(&o.dir, "dir", "", "directory to write to; made if it is missing (required)")
	flags.IntVar(&o.count, "count", 0, "how many challenges, 1 to 1000000 (required)")
	flags.StringVar(&o.kind, "kind", "image", "image or audio")
	flags.StringVar(&o.level, "level", "normal", "easy, normal or hard")
	flags.IntVar(&o.length, "length", 5, "characters of a picture, 4 to 8; a sound has six digits")
	flags.StringVar(&o.size, "size", "240x80", "width and height of a picture in CSS pixels")
	flags.IntVar(&o.density, "density", 2, "pixels of a picture to a CSS pixel, 1 or 2; the gate serves 2")
	flags.StringVar(&o.language, "language", "en", "language of a sound: "+strings.Join(captcha.Languages(), ", "))
	return command
}

type sampleOptions struct {
	dir, kind, level, size, language string
	count, length, density           int
}

func (o sampleOptions) write() error {
	var width, height int
	if _, err := fmt.Sscanf(o.size+"\n", "%dx%d\n", &width, &height); err != nil {
		return fmt.Errorf("--size %q: not a width and a height such as 240x80", o.size)
	}
	kind, err := captcha.ParseKind(o.kind)
	file, drawn := rendered[kind]
	switch {
	case o.dir == "":
		return errors.New("--dir: which directory to write to is missing")
	case o.count < 1 || o.count > 1_000_000:
		return fmt.Errorf("--count %d: not within 1 and 1000000", o.count)
	case err != nil || !drawn:
		return fmt.Errorf("--kind %q: one of image, audio", o.kind)
	}
	level, err := captcha.ParseLevel(o.level)
	if err != nil {
		return fmt.Errorf("--level: %w", err)
	}
	maker, err := captcha.New(captcha.Options{
		// The tokens are thrown away.
		Secrets: [][]byte{make([]byte, 32)}, Length: o.length, Width: width, Height: height, Density: o.density, CacheBytes: 1,
	})
	if err != nil {
		return err
	}
	defer maker.Close()
	if err := os.MkdirAll(o.dir, 0o777); err != nil { //nolint:gosec // the umask decides
		return fmt.Errorf("--dir: %w", err)
	}
	progress := newProgress(o.count)
	for n := 1; n <= o.count; n++ {
		answer, body, err := sample(maker, captcha.Spec{Kind: kind, Level: level, Language: o.language})
		if err != nil {
			return err
		}
		name := filepath.Join(o.dir, fmt.Sprintf("%s_%d%s", answer, n, file.suffix))
		if err := os.WriteFile(name, body, 0o666); err != nil { //nolint:gosec // samples are no secret
			return err
		}
		progress(n)
	}
	return nil
}

// sample makes one challenge and throws its token away.
func sample(maker *captcha.Maker, spec captcha.Spec) (answer string, body []byte, err error) {
	challenge, err := maker.Issue(spec, captcha.Scope{})
	if err != nil {
		return "", nil, err
	}
	claims, err := maker.Unpack(challenge.Token)
	if err != nil {
		return "", nil, err
	}
	body, err = maker.Render(claims)
	return claims.Answer, body, err
}

// newProgress tells on standard error how far long work is, in tenths, and
// nothing of short work.
func newProgress(count int) func(done int) {
	if count < 1000 {
		return func(int) {}
	}
	return func(done int) {
		if step := count / 10; done%step == 0 {
			_, _ = fmt.Fprintf(os.Stderr, "%d of %d written\n", done, count)
		}
	}
}

// answerCommand tells the answer of a challenge to who has the secret: for an
// operator's own tests from end to end. The running server has no such way in
// (CAP-14).
func answerCommand() *cobra.Command {
	var secretFile, realm string
	command := &cobra.Command{
		Use:   "answer --secret-file FILE TOKEN",
		Short: "Print the answer of a challenge, for tests of one's own site",
		Long: `Print the answer of a challenge to who has the gate's secret, for end-to-end tests
of one's own site. The running server tells nobody.

A gate without "secret" in its configuration made one itself. It is in Caddy's
storage, as captcha_gate/REALM.secret; in the folder of Caddy's data, where no
other storage is configured: ` + "`~/.local/share/caddy/captcha_gate/default.secret`" + `,
or below $XDG_DATA_HOME/caddy.`,
		Example: "  caddy captcha-gate answer --secret-file /run/secrets/gate \"$TOKEN\"\n" +
			"  caddy captcha-gate answer --secret-file /var/lib/caddy/captcha_gate/shop.secret --realm shop \"$TOKEN\"",
		Args: cobra.ExactArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) {
			answer, err := answerOf(secretFile, realm, flags.Arg(0))
			if err != nil {
				return 1, err
			}
			fmt.Println(answer)
			return 0, nil
		}),
	}
	command.Flags().StringVar(&secretFile, "secret-file", "", "file with the gate's secret (required)")
	command.Flags().StringVar(&realm, "realm", defaultRealm, "the gate's realm")
	return command
}

// maxSecretFile bounds a secret in bytes.
const maxSecretFile = 64 << 10

func answerOf(secretFile, realm, token string) (string, error) {
	if secretFile == "" {
		return "", errors.New("--secret-file: the file with the gate's secret is missing")
	}
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return "", fmt.Errorf("--secret-file: %w", err)
	}
	if len(secret) > maxSecretFile {
		return "", fmt.Errorf("--secret-file: %s is larger than %d bytes", secretFile, maxSecretFile)
	}
	// As the placeholder {file.NAME} reads it, without the end of the line.
	text := strings.TrimSuffix(strings.TrimSuffix(string(secret), "\n"), "\r")
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{[]byte(text)}, Realm: realm, CacheBytes: 1})
	if err != nil {
		return "", fmt.Errorf("--secret-file: %s: %w", secretFile, err)
	}
	defer maker.Close()
	claims, err := maker.Unpack(token)
	switch {
	case errors.Is(err, captcha.ErrExpired):
		return "", errors.New("the challenge is too old")
	case err != nil:
		return "", errors.New("the token was not made with this secret for this realm")
	case claims.Kind == captcha.Work:
		return "", errors.New("the challenge is a puzzle and has no answer; it is to be solved")
	}
	return claims.Answer, nil
}
