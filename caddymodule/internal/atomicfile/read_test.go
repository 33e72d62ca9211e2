package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadTakesWholeRegularFilesOnly(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	must(t, os.WriteFile(path, []byte("text"), 0o600))
	if got, err := Read(path); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	must(t, os.Truncate(path, MaxSize))
	if got, err := Read(path); err != nil || len(got) != MaxSize {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	must(t, os.Truncate(path, MaxSize+1))
	for bad, want := range map[string]error{path: errTooLarge, folder: errNotRegular, os.DevNull: errNotRegular,
		path + "x": fs.ErrNotExist} {
		got, err := Read(bad)
		if !errors.Is(err, want) || got != nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %d bytes, error %v, want %v", bad, len(got), err, want)
		}
	}
}
