//go:build !unix || aix || solaris

package state

import "os"

// unlock does nothing: on these systems the lock goes with the descriptor.
func unlock(*os.File) error { return nil }
