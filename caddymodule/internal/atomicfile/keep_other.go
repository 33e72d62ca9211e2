//go:build !unix || aix

package atomicfile

import (
	"io/fs"
	"os"
)

// Here a folder cannot be flushed in the usual way, and a new file gets from its folder what it needs.
const foldersSync = false

func checkLinks(fs.FileInfo) error { return nil }

func inherit(*os.File, string, fs.FileInfo) error { return nil }

func checkReplaceable(string, fs.FileInfo) error { return nil }
