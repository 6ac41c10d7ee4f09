//go:build browser

// The tests of this file drive Chromium. They are apart by a build tag because
// they are slow and need a browser: go test -tags browser ./web/

package web

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/careerrelay/careerrelay/browsertest"
	"github.com/careerrelay/careerrelay/store"
)

// tab is one browser of its own, with a record of what it asked for.
type tab struct {
	*site
	ctx  context.Context
	mu   sync.Mutex // guards urls
	urls []string
}

// browse starts a browser, or skips. In CI a missing browser is a failure.
func browse(t *testing.T) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	b := &tab{site: newSite(t)}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(60*time.Second))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b.ctx, cancel = context.WithTimeout(ctx, 6*time.Minute)
	t.Cleanup(cancel)
	err = chromedp.Listen(b.ctx, func(ev any) {
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

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// submit presses what the selector names and waits for the next page.
func (b *tab) submit(selector string) {
	b.t.Helper()
	b.clock.pass(5 * time.Second)
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(selector)); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

func eval[T any](b *tab, js string) T {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.t.Fatalf("script: %v", err)
	}
	return got
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.server.URL + path)) }

// fill types a good form.
func (b *tab) fill() {
	b.t.Helper()
	b.do(chromedp.SendKeys("#family_name", "山田"), chromedp.SendKeys("#given_name", "太郎"), chromedp.SendKeys("#mail", candidate),
		chromedp.SetValue("#contact", "mail"), chromedp.SetValue("#frequency", "asked"), chromedp.Click("#adult"), chromedp.Click("#hand_over"))
}

func (b *tab) heading() string {
	b.t.Helper()
	return eval[string](b, `document.querySelector("h1").textContent`)
}

// TestBrowserOptIn goes the whole way, and looks at every address that the
// browser asked for.
func TestBrowserOptIn(t *testing.T) {
	b := browse(t)
	b.open(b.path())
	b.fill()
	b.submit("form button")
	if got := b.heading(); got != "入力内容のご確認" {
		t.Fatalf("review: %q", got)
	}
	b.submit("form button")
	if got := b.heading(); got != "お申し込みを受け付けました" {
		t.Fatalf("done: %q", got)
	}
	if c := b.counts(); c.OptedIn != 1 || c.Counted != 1 || c.OpenedHuman != 1 {
		t.Errorf("counts: %+v", c)
	}
	b.open(b.path() + "/data")
	b.do(chromedp.SendKeys("#mail", candidate))
	b.submit("form button")
	if got := eval[string](b, `document.querySelector("#family_name").value`); got != "山田" {
		t.Errorf("own data: %q", got)
	}
	for _, path := range []string{"/", "/about", "/guide", "/c/c", b.path() + "/stop", "/r/none", "/en" + b.path() + "/done"} {
		b.open(path)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.urls) < 10 {
		t.Errorf("only %d requests were seen", len(b.urls))
	}
	for _, one := range b.urls {
		if !strings.HasPrefix(one, b.server.URL+"/") {
			t.Errorf("foreign origin: %s", one)
		}
	}
}

// TestBrowserKeyboard opts in with the keyboard alone: Tab, letters, arrows,
// space and Enter.
func TestBrowserKeyboard(t *testing.T) {
	b := browse(t)
	b.open(b.path())
	typed := map[string]string{"family_name": "Yamada", "given_name": "Taro", "mail": candidate, "contact": kb.ArrowDown, "frequency": kb.ArrowDown,
		"adult": " ", "hand_over": " "}
	reached := b.tabTo("BUTTON", typed)
	if len(typed) > 0 {
		t.Fatalf("never reached by Tab: %v; reached %v", typed, reached)
	}
	b.clock.pass(5 * time.Second)
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		t.Fatal(err)
	}
	if got := b.heading(); got != "入力内容のご確認" {
		t.Fatalf("review: %q", got)
	}
	b.tabTo("BUTTON", nil)
	b.clock.pass(5 * time.Second)
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		t.Fatal(err)
	}
	if c := b.counts(); c.OptedIn != 1 {
		t.Errorf("counts: %+v", c)
	}
}

// tabTo presses Tab until an element of that kind has the focus, types what
// belongs into the fields on the way, and checks that each focus can be seen.
func (b *tab) tabTo(kind string, typed map[string]string) (reached []string) {
	b.t.Helper()
	for range 60 {
		b.do(chromedp.KeyEvent(kb.Tab))
		at := eval[[]string](b, `(e => [e.tagName, e.id, getComputedStyle(e).outlineStyle, e.name || ""])(document.activeElement)`)
		reached = append(reached, at[0]+"#"+at[1])
		if at[2] == "none" {
			b.t.Errorf("focus on %s#%s cannot be seen", at[0], at[1])
		}
		if at[3] == "website" {
			b.t.Error("Tab leads into the trap")
		}
		if at[0] == kind {
			return reached
		}
		if keys, ok := typed[at[1]]; ok {
			b.do(chromedp.KeyEvent(keys))
			delete(typed, at[1])
		}
	}
	b.t.Fatalf("no %s within 60 tabs: %v", kind, reached)
	return nil
}

// TestBrowserScanner presses every button and link of every page it gets to, as
// scanners that run scripts do, and types nothing.
func TestBrowserScanner(t *testing.T) {
	b := browse(t)
	for _, path := range []string{b.path(), "/en" + b.path(), b.path() + "/stop", b.path() + "/data", b.path() + "/done"} {
		b.open(path)
		n := eval[int](b, `document.querySelectorAll("button").length`)
		for i := range n {
			b.open(path)
			b.clock.pass(5 * time.Second)
			press := fmt.Sprintf(`document.querySelectorAll("input[type=checkbox]").forEach(e => e.click()); (b => { if (b) b.click() })(document.querySelectorAll("button")[%d])`, i)
			if _, err := chromedp.RunResponse(b.ctx, chromedp.EvaluateAsDevTools[chromedp.Void](press)); err != nil {
				t.Fatalf("%s, button %d: %v", path, i, err)
			}
		}
	}
	if c := b.counts(); c.OptedIn != 0 || c.Counted != 0 {
		t.Errorf("a scanner opted in: %+v", c)
	}
}

// audit is a script for the rules that a machine can check: names of fields,
// contrast of text, size of targets, no sideways scrolling, one h1, language.
const audit = `(() => {
  const bad = [];
  const lum = c => { const v = c.map(x => { x /= 255; return x <= .03928 ? x/12.92 : Math.pow((x+.055)/1.055, 2.4) }); return .2126*v[0]+.7152*v[1]+.0722*v[2] };
  const rgb = s => (s.match(/[\d.]+/g) || []).map(Number);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length && (c.length < 4 || c[3] > 0)) return c.slice(0, 3) } return rgb(getComputedStyle(document.body).backgroundColor).slice(0, 3) };
  const shown = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && r.right > 0 && e.checkVisibility({contentVisibilityAuto: true}) };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walk.nextNode();) {
    const e = n.parentElement; if (!n.data.trim() || !shown(e) || e.closest(".trap")) continue;
    const a = lum(rgb(getComputedStyle(e).color).slice(0, 3)), b = lum(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push("contrast " + ratio.toFixed(2) + " of " + n.data.trim().slice(0, 20));
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (e.closest(".trap")) continue;
    if (!e.labels || !e.labels.length || !e.labels[0].textContent.trim()) bad.push("no label: " + e.id);
    for (const id of (e.getAttribute("aria-describedby") || "").split(" ").filter(Boolean)) if (!document.getElementById(id)) bad.push("described by nothing: " + id);
    if (!e.checkVisibility()) continue;
    const edge = lum(rgb(getComputedStyle(e).borderColor).slice(0, 3)), back = lum(ground(e.parentElement));
    if (e.type !== "checkbox" && (Math.max(edge, back) + .05) / (Math.min(edge, back) + .05) < 3) bad.push("edge of " + e.id);
  }
  for (const e of document.querySelectorAll("button, summary, select, input:not([type=hidden]), header a, .aside a, nav a")) {
    if (e.closest(".trap") || !shown(e)) continue;
    const r = (e.type === "checkbox" ? e.parentElement : e).getBoundingClientRect();
    if (r.height < 44 || r.width < 44) bad.push("target " + Math.round(r.width) + "x" + Math.round(r.height) + ": " + (e.id || e.textContent.trim().slice(0, 20)));
  }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) bad.push("scrolls sideways: " + document.documentElement.scrollWidth + " of " + document.documentElement.clientWidth);
  if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
  if (!document.documentElement.lang || !document.title.trim() || !document.querySelector("main")) bad.push("lang, title or main is missing");
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size !== ids.length) bad.push("an id stands twice");
  return bad;
})()`

// look is one way of looking at the pages.
type look struct {
	name   string
	width  int64
	height int64
	scheme string
}

var looks = []look{
	{"320-light", 320, 640, "light"}, {"390-light", 390, 844, "light"}, {"1280-light", 1280, 900, "light"},
	{"390-dark", 390, 844, "dark"}, {"1280-zoom-dark", 640, 450, "dark"}, // 640 is 1280 at 200 %
}

func (b *tab) as(l look) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(l.width, l.height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}})
		return err
	}))
}

// checkLooks checks the page that is open in every look.
func (b *tab) checkLooks(t *testing.T, name string) {
	t.Helper()
	for _, l := range looks {
		b.as(l)
		for _, problem := range eval[[]string](b, audit) {
			t.Errorf("%s, %s: %s", name, l.name, problem)
		}
		found, err := browsertest.Axe(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range found {
			t.Errorf("%s, %s: axe: %s", name, l.name, problem)
		}
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name+"-"+l.name+".png"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBrowserAccessible checks every page in every look. With the environment
// variable SCREENSHOTS naming a folder, it also leaves pictures for people.
func TestBrowserAccessible(t *testing.T) {
	b := browse(t)
	check := func(name string) { t.Helper(); b.checkLooks(t, name) }
	for name, path := range map[string]string{"home": "/", "about": "/about", "guide": "/guide", "landing": b.path(), "landing-en": "/en" + b.path(),
		"stop": b.path() + "/stop", "unknown": "/r/none", "ask": "/c/c", "ask-leaver": "/c/c/leaver",
		"leaver": "/r/" + string(b.leaver()), "forgotten": "/r/" + string(store.NewToken()) + "/stop", "forgotten-en": "/en/stop"} {
		b.open(path)
		check(name)
	}
	b.open(b.path())
	b.submit("form button")
	check("errors")
	b.open(b.path())
	b.fill()
	b.submit("form button")
	check("review")
	b.submit("form button")
	check("done")
	b.open(b.path() + "/data")
	check("door")
	b.do(chromedp.SendKeys("#mail", candidate))
	b.submit("form button")
	check("data")
}

// TestBrowserOtherAddress follows the mail to another address in the same
// browser: what was typed is still there, the boxes are not ticked.
func TestBrowserOtherAddress(t *testing.T) {
	b := browse(t)
	b.open(b.path())
	b.fill()
	b.do(chromedp.SetValue("#mail", "hanako@other.example"))
	b.submit("form button")
	b.open("/" + mailedLink.FindStringSubmatch(b.mails.last(t).Text)[1])
	if got := eval[string](b, `document.querySelector("#family_name").value + [...document.querySelectorAll("[type=checkbox]")].filter(e => e.checked).length`); got != "山田0" {
		t.Fatalf("the form came back as %q", got)
	}
	b.do(chromedp.Click("#adult"), chromedp.Click("#hand_over"))
	b.submit("form button")
	b.submit("form button")
	ref, err := b.store.Lookup(context.Background(), b.token)
	if err != nil || ref.State != store.OptedIn || ref.Consent.Method != "confirmed_address" {
		t.Errorf("%v, %v", ref, err)
	}
	if _, err := url.Parse(eval[string](b, `location.href`)); err != nil {
		t.Error(err)
	}
}
