// Command generate writes docs/reference.md: every option of the gate and of
// its senders, from the structs that hold them. Run it in the root of the
// repository, with `make docs`.
//
// Nothing is said twice: the text, the default and the type of an option are its
// field's; what stands in a Caddyfile is the grammar in the comment of the
// method that reads it. What neither tells is in the table named spelled.
package main

import (
	"bytes"
	"flag"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	page, err := reference(*root)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*root, "docs", "reference.md"), page, 0o644); err != nil { //nolint:gosec // a page for everybody
		log.Fatal(err)
	}
}

// reference is the page.
func reference(root string) ([]byte, error) {
	gate, err := readPackage(filepath.Join(root, "caddymodule"))
	if err != nil {
		return nil, err
	}
	senders, err := readPackage(filepath.Join(root, "caddymodule", "senders"))
	if err != nil {
		return nil, err
	}
	w := writer{used: map[string]bool{}}
	w.begin(gate)
	if err := w.structure(gate, "Gate", nil); err != nil {
		return nil, err
	}
	w.printf("\n## Senders\n\n[senders.md](senders.md) says how to choose one, and how to write one.\n")
	for _, name := range senders.modules() {
		if err := w.structure(senders, name, nil); err != nil {
			return nil, err
		}
	}
	return bytes.TrimRight(w.Bytes(), "\n"), w.leftOver()
}
