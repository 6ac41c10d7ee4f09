// Package browsertest drives Chromium for the tests of pages: it starts a browser,
// or skips the test with the reason, and holds pages against the accessibility
// rules of axe-core (testdata/axe-core, MPL-2.0, unchanged).
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Browser is one browser of its own, with a record of what it asked for.
type Browser struct {
	t   *testing.T
	Ctx context.Context

	mu   sync.Mutex // guards urls
	urls []string
}

// Start starts a browser that ends with the test. In CI a missing one is a failure.
func Start(t *testing.T) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	b := &Browser{t: t}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(60*time.Second))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b.Ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	err = chromedp.Listen(b.Ctx, func(ev any) {
		if sent, ok := ev.(*network.EventRequestWillBeSent); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.urls = append(b.urls, sent.Request.URL)
		}
	})
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	return b
}

// Asked are the addresses that the browser asked for.
func (b *Browser) Asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.urls...)
}

// Do runs actions; a failure ends the test.
func (b *Browser) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.Ctx, actions...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// Submit presses what the selector names and waits for the next page.
func (b *Browser) Submit(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.Ctx, chromedp.Click(selector)); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

// Eval returns the value of a script.
func Eval[T any](b *Browser, js string) T {
	b.t.Helper()
	got, err := chromedp.Run(b.Ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.t.Fatalf("script: %v", err)
	}
	return got
}

// Look is one way of looking at pages.
type Look struct {
	Name          string
	Width, Height int64
	Scheme        string // light, dark
}

// Looks are those that every page is checked in: a small and a usual telephone, a
// screen, and a screen at 200 %, which has half as many pixels.
func Looks() []Look {
	return []Look{{"320-light", 320, 640, "light"}, {"390-dark", 390, 844, "dark"}, {"1280-light", 1280, 900, "light"}, {"1280-zoom-dark", 640, 450, "dark"}}
}

// As sets the look.
func (b *Browser) As(l Look) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(l.Width, l.Height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.Scheme}}})
		return err
	}))
}

// Picture leaves a picture of the page in the folder that the environment variable
// SCREENSHOTS names, for people; nothing without it.
func (b *Browser) Picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Axe returns what axe-core finds against WCAG 2.2 A and AA and its best practices
// on the page that ctx shows.
func Axe(ctx context.Context) ([]string, error) {
	_, here, _, _ := runtime.Caller(0)
	script, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "testdata", "axe-core", "axe.min.js"))
	if err != nil {
		return nil, err
	}
	// The devtools may run scripts that the policy of the page forbids to itself.
	if err := chromedp.Do(ctx, chromedp.EvaluateAsDevTools[chromedp.Void](string(script)+";void 0")); err != nil {
		return nil, fmt.Errorf("load axe-core: %w", err)
	}
	const ask = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => {
		if (r.passes.length < 5) return ["axe-core checked only " + r.passes.length + " rules"];
		return r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary.replace(/\s+/g, " "))) })`
	return chromedp.Run(ctx, chromedp.Evaluate[[]string](ask, chromedp.EvalAwaitPromise))
}
