package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

//go:embed assets
var assetFiles embed.FS

const (
	maxLogo = 512 << 10
	maxText = 256 << 10 // a stylesheet or a template
)

// Asset is a file that a page refers to.
type Asset struct {
	Body        []byte
	ContentType string
}

// Asset finds a file by the name that pages refer to it by, such as
// "gate-1a2b3c4d.css". The name changes with the content, so that browsers may
// keep a file for ever.
func (s *Site) Asset(name string) (Asset, bool) {
	a, ok := s.assets[name]
	return a, ok
}

// add publishes a file under a name made of stem, content hash and ext.
func (s *Site) add(plain, stem, ext, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	public := stem + "-" + hex.EncodeToString(sum[:4]) + ext
	s.public[plain] = public
	s.assets[public] = Asset{Body: body, ContentType: contentType}
}

var (
	cssComments = regexp.MustCompile(`(?s)/\*.*?\*/`)
	jsComments  = regexp.MustCompile(`(?m)^\s*//.*$`)
	indents     = regexp.MustCompile(`\s*\n\s*`)
)

// slim leaves out what only people read: comments on lines of their own,
// indentation and empty lines. That is a sixth of what a phone loads. None of
// the gate's own files has a text that goes over several lines.
func slim(ext string, body []byte) []byte {
	switch ext {
	case ".css":
		body = cssComments.ReplaceAll(body, nil)
	case ".js":
		body = jsComments.ReplaceAll(body, nil)
	default:
		return body
	}
	return append(bytes.TrimSpace(indents.ReplaceAll(body, []byte("\n"))), '\n')
}

func (s *Site) loadAssets(o Options) error {
	for _, own := range []struct{ file, plain, stem, ext, contentType string }{
		{"gate.css", "gate.css", "gate", ".css", "text/css; charset=utf-8"},
		{"gate.js", "gate.js", "gate", ".js", "text/javascript; charset=utf-8"},
		{"work.js", "work.js", "work", ".js", "text/javascript; charset=utf-8"},
		{"account.css", "account.css", "account", ".css", "text/css; charset=utf-8"},
		{"account.js", "account.js", "account", ".js", "text/javascript; charset=utf-8"},
		{"mark.svg", "icon", "mark", ".svg", "image/svg+xml"},
	} {
		body, err := assetFiles.ReadFile("assets/" + own.file)
		if err != nil {
			return err
		}
		s.add(own.plain, own.stem, own.ext, own.contentType, slim(own.ext, body))
	}
	if o.Stylesheet != "" {
		body, err := readBounded(o.Stylesheet, maxText)
		if err != nil {
			return fmt.Errorf("stylesheet: %w", err)
		}
		if !utf8.Valid(body) {
			return fmt.Errorf("stylesheet: %s: not UTF-8", o.Stylesheet)
		}
		s.add("style.css", "style", ".css", "text/css; charset=utf-8", body)
	}
	if o.Logo != "" {
		if err := s.loadLogo(o.Logo); err != nil {
			return fmt.Errorf("logo: %w", err)
		}
	}
	return nil
}

var logoTypes = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
	".svg": "image/svg+xml", ".webp": "image/webp", ".gif": "image/gif",
}

// loadLogo takes a picture whose content is what its name says. It is the icon
// of the browser's tab as well.
func (s *Site) loadLogo(path string) error {
	ext := strings.ToLower(filepath.Ext(path))
	want, ok := logoTypes[ext]
	if !ok {
		return fmt.Errorf("%s: not a .png, .jpg, .jpeg, .svg, .webp or .gif file", path)
	}
	body, err := readBounded(path, maxLogo)
	if err != nil {
		return err
	}
	is := http.DetectContentType(body)
	if rootElement(body) == "svg" {
		is = "image/svg+xml"
	}
	if is != want {
		return fmt.Errorf("%s: content is %s, not %s", path, is, want)
	}
	s.add("logo", "logo", ext, want, body)
	s.public["icon"] = s.public["logo"]
	return nil
}

// rootElement is the name of an XML document's outermost element, "" if it is
// no XML.
func rootElement(body []byte) string {
	d := xml.NewDecoder(bytes.NewReader(body))
	// The name is ASCII in every encoding that browsers take for SVG.
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		token, err := d.RawToken()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok {
			return start.Name.Local
		}
	}
}

// readBounded reads a regular file, at most so many bytes. Anything else, such
// as a pipe, could block the load.
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(f, most+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, most)
	}
	return body, nil
}
