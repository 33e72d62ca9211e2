package integration

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What is in packaging/ and the files for releases is used by programs that the
// tests do not have: a Docker daemon, Kubernetes, goreleaser. So it is read, and
// what it names must be there.

func readYAML(t *testing.T, file string) (documents []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var d map[string]any
		err := decoder.Decode(&d)
		switch {
		case errors.Is(err, io.EOF):
			return documents
		case err != nil:
			t.Fatalf("%s: %v", file, err)
		}
		documents = append(documents, d)
	}
}

// at follows keys and indices into a YAML document.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				t.Fatalf("%v is too short", path[:i+1])
			}
			v = l[step]
		}
		if v == nil {
			t.Fatalf("there is nothing at %v", path[:i+1])
		}
	}
	return v
}

func mustExist(t *testing.T, from, name string) {
	t.Helper()
	if found, err := filepath.Glob(filepath.Join("..", name)); err != nil || len(found) == 0 {
		t.Errorf("%s names %s, which is not there", from, name)
	}
}

func TestComposeFilesNameWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"packaging/compose.yaml", "docs/cluster/compose.yaml"} {
		dir := filepath.Dir(file)
		services, _ := at(t, readYAML(t, file)[0], "services").(map[string]any)
		for name, service := range services {
			s, _ := service.(map[string]any)
			if s["build"] == nil && s["image"] == nil {
				t.Errorf("%s: %s has neither build nor image", file, name)
			}
			if s["build"] != nil {
				context, _ := at(t, s, "build", "context").(string)
				dockerfile, _ := at(t, s, "build", "dockerfile").(string)
				mustExist(t, file, filepath.Join(dir, context, dockerfile))
			}
			volumes, _ := s["volumes"].([]any)
			for _, v := range volumes {
				from, _, _ := strings.Cut(v.(string), ":")
				// The users folder is made by the reader, as the head of the file says.
				if strings.HasPrefix(from, ".") && from != "./users" {
					mustExist(t, file, filepath.Join(dir, from))
				}
			}
		}
	}
}

func TestGoreleaserNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	file := ".goreleaser.yaml"
	config := readYAML(t, file)[0]
	main, _ := at(t, config, "builds", 0, "main").(string)
	mustExist(t, file, filepath.Join(main, "main.go"))
	files, _ := at(t, config, "archives", 0, "files").([]any)
	for _, name := range files {
		mustExist(t, file, name.(string))
	}
	ldflags, _ := at(t, config, "builds", 0, "ldflags", 0).(string)
	variable := regexp.MustCompile(`-X (\S+)\.(\w+)=`).FindStringSubmatch(ldflags)
	if variable == nil {
		t.Fatalf("no variable in %q", ldflags)
	}
	doc := exec.Command("go", "doc", variable[1], variable[2])
	doc.Dir = ".."
	if out, err := doc.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The image is built from what the Dockerfile copies, and from what the ignore
// file lets through.
func TestTheDockerfileCopiesWhatTheBuildNeeds(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"Dockerfile", "docs/cluster/Dockerfile"} {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) < 3 || words[0] != "COPY" || strings.HasPrefix(words[1], "--from") {
				continue
			}
			for _, name := range words[1 : len(words)-1] {
				mustExist(t, file, name)
			}
		}
	}
	ignored, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	context := t.TempDir()
	for line := range strings.Lines(string(ignored)) {
		if name, kept := strings.CutPrefix(strings.TrimSpace(line), "!"); kept {
			if out, err := exec.Command("cp", "-r", filepath.Join("..", name), context).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	dockerfile, _ := os.ReadFile("../Dockerfile")
	command := regexp.MustCompile(`go build [^\n]*-o (\S+) \./cmd/caddy`).FindStringSubmatch(string(dockerfile))
	if command == nil {
		t.Fatal("the Dockerfile has no go build")
	}
	// Every package and every embedded file must be there. That they compile is shown elsewhere.
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/caddy")
	list.Dir, list.Env = context, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := list.CombinedOutput(); err != nil {
		t.Errorf("what the ignore file lets through is not enough: %v\n%s", err, out)
	}
}

func TestTheKubernetesManifestHangsTogether(t *testing.T) {
	t.Parallel()
	file := "packaging/kubernetes.yaml"
	byKind := map[string]map[string]any{}
	for _, d := range readYAML(t, file) {
		kind, _ := at(t, d, "kind").(string)
		byKind[kind] = d
		at(t, d, "apiVersion")
		at(t, d, "metadata", "name")
	}
	for _, kind := range []string{"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service", "NetworkPolicy"} {
		if byKind[kind] == nil {
			t.Fatalf("no %s", kind)
		}
	}
	caddyfile, _ := at(t, byKind["ConfigMap"], "data", "Caddyfile").(string)
	newDocRoot(t).validate(t, caddyfile, true)
	if page := documents(t)["docs/kubernetes.md"]; !strings.Contains(page, "```caddyfile\n"+caddyfile+"```") {
		t.Error("docs/kubernetes.md shows another Caddyfile")
	}

	pod := at(t, byKind["Deployment"], "spec", "template", "spec")
	var volumes, mounts []string
	for _, v := range at(t, pod, "volumes").([]any) {
		volumes = append(volumes, at(t, v, "name").(string))
	}
	for _, m := range at(t, pod, "containers", 0, "volumeMounts").([]any) {
		mounts = append(mounts, at(t, m, "name").(string))
		if m.(map[string]any)["subPath"] != nil {
			t.Errorf("%v is mounted by itself and would never change", m)
		}
		path := at(t, m, "mountPath").(string)
		readOnly, _ := m.(map[string]any)["readOnly"].(bool)
		if strings.HasPrefix(path, "/etc/") != readOnly {
			t.Errorf("%s: read-only %v", path, readOnly)
		}
	}
	slices.Sort(volumes)
	slices.Sort(mounts)
	if !slices.Equal(volumes, mounts) {
		t.Errorf("volumes %v, mounts %v", volumes, mounts)
	}
	for _, probe := range []string{"readinessProbe", "livenessProbe"} {
		if path := at(t, pod, "containers", 0, probe, "httpGet", "path"); path != "/logout" {
			t.Errorf("%s asks %v", probe, path)
		}
	}
	labels := at(t, byKind["Deployment"], "spec", "template", "metadata", "labels")
	for _, selector := range []any{
		at(t, byKind["Service"], "spec", "selector"), at(t, byKind["Deployment"], "spec", "selector", "matchLabels"),
		at(t, byKind["NetworkPolicy"], "spec", "ingress", 0, "from", 0, "podSelector", "matchLabels"),
	} {
		if encode(t, selector) != encode(t, labels) {
			t.Errorf("%v does not select %v", selector, labels)
		}
	}
}

// What probes ask is answered whatever else there is: no session, no captcha.
func TestProbesAreAnsweredWithoutACaptcha(t *testing.T) {
	t.Parallel()
	s := startSite(t, "throttle {\nissue 1 1h\n}")
	v := newVisitor(t, s)
	for range 20 {
		if a := v.do("GET", "/logout", ""); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
}

// The unit runs what the documents install, as systemd reads it.
func TestTheUnitIsRead(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../packaging/caddy.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program is not in its place here; any other will do.
	there := strings.ReplaceAll(string(unit), "/usr/bin/caddy", caddyBinary)
	name := filepath.Join(t.TempDir(), "caddy.service")
	if err := os.WriteFile(name, []byte(there), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", name).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
