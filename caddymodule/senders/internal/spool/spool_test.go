package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

func TestSpoolKeepsTheRulesOfSenders(t *testing.T) {
	sendertest.Run(t, &Spool{Dir: t.TempDir()})
}

func TestSpoolWritesTheMessage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SPOOL", dir)
	s := new(Spool)
	if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("spool {env.SPOOL}")); err != nil {
		t.Fatal(err)
	}
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	m := sendertest.Message(senders.SMS)
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != m.ID {
		t.Fatalf("%v, %v", files, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, m.ID)); err != nil || string(got) != "To: "+m.To+"\n\n"+m.Text {
		t.Errorf("%s, %v", got, err)
	}
}

func TestSpoolSaysWhatIsWrongWithItsFolder(t *testing.T) {
	for dir, want := range map[string]string{
		"/nowhere":          `dir: "/nowhere" is not a folder`,
		"{env.SPOOL_UNSET}": "dir: evaluated placeholder {env.SPOOL_UNSET} is empty",
	} {
		if err := (&Spool{Dir: dir}).Provision(caddy.Context{}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	m := sendertest.Message(senders.SMS)
	err := (&Spool{Dir: "/nowhere"}).Send(t.Context(), m)
	if err == nil {
		t.Error("Send reports success without a folder")
	}
	sendertest.Quiet(t, err, m)
}

// The documentation shows this package as the example of a sender.
func TestDocumentationShowsThisCode(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/senders.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("spool.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```go\n"+string(code)+"```\n") {
		t.Error("docs/senders.md shows another spool.go")
	}
}
