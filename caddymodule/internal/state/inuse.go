package state

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// InUse reports whether a process holds the file of a [Local] store, as a running server does. It changes nothing, and
// fails where the file is missing, cannot be read or is damaged.
func InUse(path string) (bool, error) {
	if _, err := os.Stat(path); err != nil { // bbolt would make it
		return false, err
	}
	f := &file{path: path}
	err := f.guarded(func() error {
		db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: lockWait})
		if err != nil {
			return err
		}
		return db.Close()
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("state file: %w", err)
	}
	return false, nil
}
