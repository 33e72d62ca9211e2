//go:build unix && !aix && !linux

package atomicfile

// keepAttributes does nothing: only Linux has attributes in this form.
func keepAttributes(_, _ string) error { return nil }

// isMountPoint does not know; a rename over a mount point fails by itself.
func isMountPoint(string) bool { return false }
