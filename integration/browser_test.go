package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long the browser tests wait for anything before they give up.
const patience = 30 * time.Second

// TestBrowser uses the gate's page as people do, in one headless Chromium. Each
// subtest has a Caddy and a browser profile of its own.
func TestBrowser(t *testing.T) {
	t.Parallel()
	old, _ := filepath.Glob(filepath.Join("artifacts", "failed-*"))
	for _, name := range old {
		_ = os.Remove(name)
	}
	c := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *chromium)
	}{
		{"sign in by mouse", testSignInByMouse},
		{"sign in by keyboard alone", testSignInByKeyboard},
		{"without JavaScript", testWithoutJavaScript},
		{"refresh the picture", testRefreshPicture},
		{"listen instead", testListenInstead},
		{"languages of the sound", testVoices},
		{"listen without JavaScript", testListenWithoutJavaScript},
		{"neither picture nor sound", testNeither},
		{"silent work", testSilentWork},
		{"puzzles run out", testPuzzlesRunOut},
		{"suspicious", testSuspicious},
		{"suspicious without JavaScript", testSuspiciousWithoutJavaScript},
		{"wrong answer", testWrongAnswer},
		{"wrong password", testWrongPassword},
		{"double click posts once", testDoubleClickPostsOnce},
		{"password helpers", testPasswordHelpers},
		{"stay signed in", testStaySignedIn},
		{"network down", testNetworkDown},
		{"expired picture renews itself", testExpiredPictureRenewsItself},
		{"throttled", testThrottled},
		{"too many pictures", testTooManyPictures},
		{"two tabs", testTwoTabs},
		{"back button", testBackButton},
		{"cookies blocked", testCookiesBlocked},
		{"Chinese", testChinese},
		{"every language", testEveryLanguage},
		{"choose a language", testPicker},
		{"choose a language without JavaScript", testPickerWithoutJavaScript},
		{"right to left", testRightToLeft},
		{"every state", testEveryState},
		{"human_only", testHumanOnly},
		{"every option of the page", testEveryPageOption},
		{"users unavailable", testUsersUnavailable},
		{"second step", testSecondStep},
		{"second step without JavaScript", testSecondStepWithoutJavaScript},
		{"second step by keyboard alone", testSecondStepByKeyboard},
		{"sender down", testSenderDown},
		{"change the password", testChangePassword},
		{"change the password without JavaScript", testChangePasswordWithoutJavaScript},
		{"list of sessions", testSessionsList},
		{"sign up", testSignUp},
		{"sign up without JavaScript", testSignUpWithoutJavaScript},
		{"sign up and wait for approval", testSignUpAwaitsApproval},
		{"single-page app", testSinglePageApp},
		{"themes", testThemes},
		{"picture for the docs", testDocsPicture},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, c)
		})
	}
}

// chromium is the browser process that all tests share.
type chromium struct {
	ctx       context.Context
	userAgent string
}

// startChromium starts the browser and ends it with the test. It blocks cookies
// for localhost, as a person can in the settings; 127.0.0.1 may set them.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		t.Fatal("neither chromium nor google-chrome is in PATH; run: make tools")
	}
	dir := t.TempDir()
	settings := `{"profile":{"content_settings":{"exceptions":{"cookies":{"http://localhost,*":{"setting":2}}}}}}`
	if err := os.Mkdir(filepath.Join(dir, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Default", "Preferences"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(binary), chromedp.UserDataDir(dir), chromedp.Flag("headless", "new"),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
	}
	for _, name := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "disable-background-timer-throttling", "disable-renderer-backgrounding",
		"disable-backgrounding-occluded-windows", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // gracefully, so that the directory can be removed
		end()
		stop()
	})
	version, err := chromedp.CallBrowser(ctx, browser.GetVersion, cdp.Empty{})
	if err != nil {
		t.Fatalf("starting %s: %v", binary, err)
	}
	return &chromium{ctx: ctx, userAgent: version.UserAgent}
}

// tab is one tab of a person's browser. It watches everything that the page
// does, and fails the test for what no page of the gate may do.
type tab struct {
	t    *testing.T
	c    *chromium
	ctx  context.Context
	site *site

	mu       sync.Mutex
	requests []*network.EventRequestWillBeSent
	faults   []string
	// alsoAllowed are origins beside the site's own that the test itself uses.
	alsoAllowed []string
	// offline says that the test cut the network.
	offline bool
}

// person opens a browser with cookies of its own.
func (c *chromium) person(t *testing.T, s *site) *tab {
	t.Helper()
	return c.open(t, s, c.ctx, chromedp.WithNewBrowserContext())
}

// another opens one more tab of the same person.
func (b *tab) another() *tab {
	b.t.Helper()
	return b.c.open(b.t, b.site, b.ctx)
}

func (c *chromium) open(t *testing.T, s *site, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
	b := &tab{t: t, c: c, ctx: ctx, site: s}
	t.Cleanup(func() {
		b.mu.Lock()
		for _, fault := range b.faults {
			t.Error("in the browser: " + fault)
		}
		b.mu.Unlock()
		if t.Failed() {
			b.shoot("failed-" + strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestBrowser/"), "/", "-"))
		}
		closeTab()
	})
	b.must(chromedp.Do(ctx))
	b.must(chromedp.Listen(ctx, b.watch))
	call(b, audits.Enable, cdp.Empty{})
	// A tab behaves as the one that the person looks at, also when others are open.
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.viewport(1000, 800, 1)
	return b
}

func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// call sends a command of the DevTools protocol to the tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// watch notes what the page does.
func (b *tab) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fault := func(format string, args ...any) { b.faults = append(b.faults, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e)
		if !b.allowed(e.Request.URL) {
			fault("request to another host: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		isFile := e.Type != network.ResourceTypeDocument && e.Type != network.ResourceTypeFetch
		if isFile && e.Response.Status >= 400 {
			fault("%s %s: %d", e.Type, e.Response.URL, e.Response.Status)
		}
	case *cdplog.EventEntryAdded:
		// A refused document or fetch is logged by the browser itself; other
		// refused files are found above.
		refused := strings.HasPrefix(e.Entry.Text, "Failed to load resource: the server responded with a status of ")
		if e.Entry.Level == cdplog.EntryLevelError && !refused && !b.offline {
			fault("console: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		fault("console.%s", e.Type)
	case *runtime.EventExceptionThrown:
		fault("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description)
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		fault("issue: %s %s", e.Issue.Code, details)
	}
}

func (b *tab) allowed(address string) bool {
	if strings.HasPrefix(address, "data:image/svg+xml;") {
		return true // the buttons of the browser's own player; the page's policy has no data: (WEB-3)
	}
	for _, origin := range append(b.alsoAllowed, b.site.url, strings.Replace(b.site.url, "127.0.0.1", "localhost", 1)) {
		if rest, ok := strings.CutPrefix(address, origin); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return strings.HasPrefix(address, "about:")
}

// sent counts the requests with this method to this path.
func (b *tab) sent(method, path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, r := range b.requests {
		address, _, _ := strings.Cut(strings.TrimPrefix(r.Request.URL, b.site.url), "?")
		if r.Request.Method == method && address == path {
			n++
		}
	}
	return n
}
