package atomicfile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// With these variables set, the test binary is a process of its own that does a job and prints what came of it.
const (
	jobName = "ATOMICFILE_TEST_JOB"
	jobPath = "ATOMICFILE_TEST_PATH"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(jobName); job != "" {
		fmt.Print(jobs[job](os.Getenv(jobPath)))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// process is a job in a process of its own.
func process(job, path string, attributes *syscall.SysProcAttr) *exec.Cmd {
	program := os.Args[0]
	if attributes != nil {
		program = "/proc/self/exe" // another user may not reach the folder of the binary
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), jobName+"="+job, jobPath+"="+path, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attributes
	return cmd
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newFile makes a file with the text, in a folder of its own.
func newFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// eager is a File that does not wait for files to rest.
func eager(path string) *File {
	f := New(path, nil)
	f.quiet = 0
	return f
}

// to is a change to a fixed text.
func to(text string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(text), nil }
}

// wantFolder checks that a folder holds exactly these names.
func wantFolder(t *testing.T, folder string, want ...string) {
	t.Helper()
	if got := strings.Join(names(folder), " "); got != strings.Join(want, " ") {
		t.Errorf("folder holds %s, want %s", got, strings.Join(want, " "))
	}
}

func names(folder string) (names []string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return []string{err.Error()}
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func wantText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %.80q, want %.80q; error %v", path, got, want, err)
	}
}
