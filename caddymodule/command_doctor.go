package caddymodule

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/doctor"
)

// doctorTimeout bounds each step of a visit.
const doctorTimeout = 10 * time.Second

// doctorCommand walks one sign-in and says what is wrong.
func doctorCommand() *cobra.Command {
	var o doctorOptions
	command := &cobra.Command{
		Use:   "doctor --config FILE --url URL",
		Short: "Walk one sign-in of a running site and say what is wrong",
		Long: `Walk one sign-in of a running site, as a browser does, and say what is wrong and
where to mend it: one line for each check, with "ok", "warning" or "problem" in
front, and below it what to change.

Run it on the server, as the user that Caddy runs as and with its environment, so
that it finds the same files, the same store and the secret that the gate made for
itself. It needs --user for a whole sign-in, which it signs out of again; the
password is typed without echo, or is the first line of standard input. Without
--user it sends one wrong answer to a captcha, which counts as one failed sign-in
of this machine's network. It changes nothing else, and shows no secret.

Exit codes: 0 no problem, 1 some problem, 2 wrong command line, 4 interrupted.`,
		Example: "  sudo -u caddy caddy captcha-gate doctor --config /etc/caddy/Caddyfile --url https://example.com/\n" +
			"  caddy captcha-gate doctor --config caddy.json --url https://example.com/wiki --user alice --json",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				return failed(command, fmt.Errorf("%w: %q is not expected; a password is never an argument", errUsage, args[0]))
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return failed(command, o.run()) },
	}
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return failed(command, fmt.Errorf("%w: %w", errUsage, err))
	})
	flags := command.Flags()
	flags.StringVar(&o.config, "config", "", "the configuration that the site runs with (required)")
	flags.StringVar(&o.adapter, "adapter", "", "its adapter; default: caddyfile, and none for a name that ends in .json")
	flags.StringVar(&o.url, "url", "", "a page that the gate protects, as browsers ask for it (required)")
	flags.StringVar(&o.site, "site", "", "the site's host in the configuration, where it is not the one of the URL")
	flags.StringVar(&o.user, "user", "", "sign in as this user")
	flags.StringVar(&o.ca, "ca", "", "PEM file of the certificates to trust, for a site with a certificate of its own")
	flags.BoolVar(&o.json, "json", false, "print a JSON array in the end")
	return command
}

type doctorOptions struct {
	config, adapter, url, site, user, ca string
	json                                 bool
}

// visit is what the command line says of it.
func (o *doctorOptions) visit() (v doctor.Visit, err error) {
	v = doctor.Visit{User: o.user, Now: time.Now, Timeout: doctorTimeout}
	if o.config == "" {
		return v, fmt.Errorf("%w: --config: the configuration is missing", errUsage)
	}
	v.URL, err = url.Parse(o.url)
	if err != nil || v.URL.Scheme != "http" && v.URL.Scheme != "https" || v.URL.Hostname() == "" || v.URL.User != nil {
		return v, fmt.Errorf("%w: --url %q: not an address such as https://example.com/", errUsage, o.url)
	}
	if v.URL.Path == "" {
		v.URL.Path = "/"
	}
	v.URL.Fragment = ""
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return v, fmt.Errorf("%w: --ca: %w", errUsage, err)
		}
		if v.Roots = x509.NewCertPool(); !v.Roots.AppendCertsFromPEM(pem) {
			return v, fmt.Errorf("%w: --ca %s: no certificate in it", errUsage, o.ca)
		}
	}
	if o.user != "" {
		v.Password, err = readPassword(os.Stdin, os.Stderr, "Password of "+visible(o.user)+": ")
	}
	return v, err
}

func (o *doctorOptions) run() error {
	v, err := o.visit()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	findings := []doctor.Finding{}
	problems := 0
	report := func(f doctor.Finding) {
		if ctx.Err() != nil {
			return // what fails from now on says nothing
		}
		findings = append(findings, f)
		if f.Level == doctor.Problem {
			problems++
		}
		if !o.json {
			showFinding(os.Stdout, f)
		}
	}
	if gate, ok := o.diagnose(v.URL, report); ok {
		err = doctor.Examine(ctx, gate, v, report)
	}
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = errors.Join(err, e.Encode(findings))
	}
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	case problems == 1:
		return errors.New("1 problem")
	case problems > 1:
		return fmt.Errorf("%d problems", problems)
	}
	return nil
}

// showFinding writes one line, and below it what to do.
func showFinding(w io.Writer, f doctor.Finding) {
	_, _ = fmt.Fprintf(w, "%-8s %-15s %s\n", f.Level, f.Check, f.Says)
	if f.Mend != "" {
		_, _ = fmt.Fprintf(w, "%-8s %-15s -> %s\n", "", "", f.Mend)
	}
}

// diagnose reads the configuration and finds the gate that the URL is about.
func (o *doctorOptions) diagnose(at *url.URL, report func(doctor.Finding)) (doctor.Gate, bool) {
	problem := func(check, mend string, err error) (doctor.Gate, bool) {
		report(doctor.Finding{Check: check, Level: doctor.Problem, Says: err.Error(), Mend: mend})
		return doctor.Gate{}, false
	}
	config, err := readConfig(o.config, o.adapter)
	if err != nil {
		return problem("configuration", "mend it, and see caddy validate --config "+o.config, err)
	}
	host := at.Hostname()
	if o.site != "" {
		host = o.site
	}
	found, note, err := config.choose(host, portOf(at), at.Path)
	if err != nil {
		return problem("configuration", "put captcha_gate into the block of the site, or name its host with --site", err)
	}
	g, err := found.gate()
	if err != nil {
		return problem("configuration", "mend it, and see caddy validate --config "+o.config+"; placeholders such as {env.NAME} need the environment that Caddy has", err)
	}
	level, mend := doctor.OK, ""
	if note != "" {
		level, mend = doctor.Warning, "--site HOST, or the right --url"
		note = "; " + note
	}
	report(doctor.Finding{Check: "configuration", Level: level, Mend: mend, Says: fmt.Sprintf("captcha_gate of %s, realm %s%s", found.name(), g.Realm, note)})
	facts := g.forDoctor()
	facts.StrictProxies = found.strict
	if len(facts.Secrets) == 0 {
		secret, err := config.storedSecret(g.Realm)
		if err != nil {
			report(doctor.Finding{
				Check: "secret", Level: doctor.Warning, Says: err.Error(),
				Mend: "run the doctor as the user that Caddy runs as, with the same HOME and XDG_DATA_HOME, after Caddy has started once; or configure one: secret {env.GATE_SECRET}",
			})
		} else {
			facts.Secrets = [][]byte{secret}
		}
	}
	return facts, true
}

func portOf(at *url.URL) string {
	if port := at.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[at.Scheme]
}

// forDoctor is what the doctor needs to know of a gate.
func (g *Gate) forDoctor() doctor.Gate {
	a := g.Accounts
	facts := doctor.Gate{
		Realm: g.Realm, Login: g.Login[0], Logout: g.Logout, BasePath: g.BasePath,
		HumanOnly: g.HumanOnly, AsksCode: g.asksCode(), Bind: g.Captcha.Bind, Lifetime: time.Duration(g.Captcha.Lifetime),
		Users: g.Users, EditsUsers: a.SignUp || a.UpgradeHashes || a.ChangePassword != nil && *a.ChangePassword,
		MayEdit:  a.ChangePassword == nil,
		Contacts: g.Contacts, ByPhone: g.SecondStep.Channel == channelSMS,
		State: g.State.Store,
	}
	facts.Cookies.Name, facts.Cookies.Domain = g.Session.CookieName, g.Session.CookieDomain
	if facts.Lifetime == 0 {
		facts.Lifetime = 5 * time.Minute
	}
	if facts.ByPhone {
		facts.Countries = g.SecondStep.Countries
	}
	for _, s := range g.Secret {
		facts.Secrets = append(facts.Secrets, []byte(s))
	}
	switch g.State.Store {
	case storeLocal:
		facts.StateFile = g.State.file()
	case storeRedis:
		facts.Redis = g.State.Redis.options()
	}
	return facts
}
