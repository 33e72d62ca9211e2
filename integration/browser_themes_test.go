package integration

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
)

// testThemes shows the pages in each of the themes of docs/themes, as an operator
// would set them, and makes their pictures where it is asked to.
func testThemes(t *testing.T, c *chromium) {
	themes, err := filepath.Glob("../docs/themes/*/theme.css")
	if err != nil || len(themes) < 3 {
		t.Fatalf("themes %v, %v", themes, err)
	}
	for _, file := range themes {
		dir, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			options := "title \"Harbour Notes\"\ncontact mailto:harbour@example.com\nstylesheet " + dir + "/theme.css\nlogo " + dir + "/logo.svg\n"
			if _, err := os.Stat(dir + "/templates"); err == nil {
				options += "templates " + dir + "/templates\n"
			}
			s := newApp(t, "page {\n"+options+"}\n"+roomy)
			b := c.person(t, s)
			b.scheme("light")
			b.viewport(480, 860, 1)
			b.visit("/report")
			b.until("the gate is shown", gateShown)
			b.until("the picture is drawn", pictureDrawn)
			b.expect("the logo is drawn", `Array.from(document.images).some(i => i.closest("header") && i.complete && i.naturalWidth > 0)`)
			b.expect("the stylesheet counts", `getComputedStyle(document.documentElement).getPropertyValue("--gate-accent") !== "#3d5bd9"`)
			b.keepThemePicture(filepath.Base(dir))
			b.fail(testUser, "not it", b.solution())
			b.judge("theme " + filepath.Base(dir))

			b.fillIn(testUser, testPassword, b.solution())
			b.click(signInButton)
			b.until("the app is shown", appShown)
			b.visit("/captcha-gate/account")
			b.judge("theme " + filepath.Base(dir) + " account")
		})
	}
}

// keepThemePicture makes the picture for the documents.
func (b *tab) keepThemePicture(name string) {
	b.t.Helper()
	value[bool](b, `document.activeElement.blur(), true`)
	b.still()
	height := value[float64](b, `document.documentElement.scrollHeight`)
	shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Clip: &page.Viewport{Width: 480, Height: height, Scale: .75}, CaptureBeyondViewport: new(true),
	})
	// The browser compresses in a hurry.
	picture, err := png.Decode(bytes.NewReader(shot.Data))
	b.must(err)
	var small bytes.Buffer
	b.must((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, picture))
	const limit = 60 << 10
	if small.Len() > limit {
		b.t.Errorf("the picture of %s has %d bytes, more than %d", name, small.Len(), limit)
	}
	target := filepath.Join("artifacts", "theme-"+name+".png")
	if os.Getenv("CAPTCHA_GATE_DOCS") != "" {
		target = filepath.Join("..", "docs", "themes", name+".png")
	}
	b.must(os.MkdirAll(filepath.Dir(target), 0o755))
	b.must(os.WriteFile(target, small.Bytes(), 0o644))
}
