package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestInUseSeesARunningStoreAndLeavesItAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.db")
	if held, err := InUse(path); held || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, %v", held, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was made")
	}
	store, err := OpenLocal(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if held, err := InUse(path); !held || err != nil {
		t.Errorf("open: %v, %v", held, err)
	}
	if err := store.Ready(); err != nil {
		t.Errorf("the store: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if held, err := InUse(path); held || err != nil {
		t.Errorf("closed: %v, %v", held, err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if held, err := InUse(path); held || err == nil {
		t.Errorf("damaged: %v, %v", held, err)
	}
}
