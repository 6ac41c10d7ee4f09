//go:build browser

package dashboard

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/careerrelay/careerrelay/browsertest"
	"github.com/careerrelay/careerrelay/store"
)

// office is a desk with something on every page, and the look of the product.
func office(t *testing.T) *desk {
	base, err := os.ReadFile("../web/style.css")
	must(t, err)
	d := newDesk(t, func(o *Options) {
		o.Base = base
		o.NearMisses = func(string) []NearMiss { return []NearMiss{{"ja-declined", "contrary", 4}} }
	})
	must(t, d.store.Add(t.Context(), "c", "", store.Traffic{Seen: 12345}))
	must(t, d.store.Add(t.Context(), "c", "ja-declined", store.Traffic{Matched: 44, Inserted: 41}))
	must(t, d.store.Add(t.Context(), "c", "en-declined", store.Traffic{Matched: 9, Inserted: 7}))
	d.people("c", 0, 12)
	d.handOver()
	d.people("c", 100, 15)
	_, err = d.store.Redeem(t.Context(), "c", "営業職")
	must(t, err)
	return d
}

// enter logs a browser in through the form.
func enter(b *browsertest.Browser, d *desk, role Role, lang string) {
	b.Do(chromedp.Navigate(d.web.URL+"/admin/language/"+lang), chromedp.Navigate(d.web.URL+"/admin/login"),
		chromedp.SendKeys("#name", string(role)), chromedp.SendKeys("#password", "secret "+string(role)))
	b.Submit("main form button")
}

// TestBrowserAccessible holds every page of every role, in both languages, against
// axe-core in light and dark; in every look nothing scrolls sideways and no target is
// too small; nothing comes from elsewhere.
func TestBrowserAccessible(t *testing.T) {
	for _, lang := range []string{"ja", "en"} {
		for _, role := range []Role{HR, IT, Agency, Auditor} {
			t.Run(string(role)+"-"+lang, func(t *testing.T) { accessible(t, role, lang) })
		}
	}
}

func accessible(t *testing.T, role Role, lang string) {
	d, b := office(t), browsertest.Start(t)
	b.Do(chromedp.Navigate(d.web.URL+"/admin/language/"+lang), chromedp.Navigate(d.web.URL+"/admin/login"))
	look(t, b, "login-"+lang)
	enter(b, d, role, lang)
	for _, p := range places() {
		if !slices.Contains(p.roles, role) {
			continue
		}
		b.Do(chromedp.Navigate(d.web.URL + "/admin/" + p.name + "?company=c"))
		if p.name == "chains" {
			b.Submit("main form button")
		}
		look(t, b, string(role)+"-"+p.name+"-"+lang)
	}
	if i := slices.IndexFunc(b.Asked(), func(u string) bool { return !strings.HasPrefix(u, d.web.URL+"/") }); i >= 0 || len(b.Asked()) < 5 {
		t.Errorf("foreign origin among %q", b.Asked())
	}
}

// look checks the page that the browser shows.
func look(t *testing.T, b *browsertest.Browser, name string) {
	t.Helper()
	for _, l := range browsertest.Looks() {
		b.As(l)
		if l.Name == "390-dark" || l.Name == "1280-light" {
			found, err := browsertest.Axe(b.Ctx)
			must(t, err)
			for _, problem := range found {
				t.Errorf("%s, %s: %s", name, l.Name, problem)
			}
		}
		if over := browsertest.Eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("%s, %s: scrolls %d px sideways", name, l.Name, over)
		}
		if small := browsertest.Eval[string](b, `[...document.querySelectorAll("button, select, input:not([type=hidden]), nav a, header a, summary, a.button")].filter(e => e.checkVisibility() && (r => r.height < 44 || r.width < 44)(e.getBoundingClientRect())).map(e => e.outerHTML.slice(0, 60)).join()`); small != "" {
			t.Errorf("%s, %s: targets below 44 px: %s", name, l.Name, small)
		}
		b.Picture(name + "-" + l.Name)
	}
}

// TestBrowserKeyboard logs in and redeems a credit with the keyboard alone.
func TestBrowserKeyboard(t *testing.T) {
	d, b := office(t), browsertest.Start(t)
	b.Do(chromedp.Navigate(d.web.URL+"/admin/language/ja"), chromedp.Navigate(d.web.URL+"/admin/login"))
	tabTo(t, b, "name")
	b.Do(chromedp.KeyEvent("hr"))
	tabTo(t, b, "password")
	b.Do(chromedp.KeyEvent("secret hr"))
	press(t, b)
	b.Do(chromedp.Navigate(d.web.URL + "/admin/credits?company=c"))
	tabTo(t, b, "note")
	b.Do(chromedp.KeyEvent("IT"))
	press(t, b)
	if got := browsertest.Eval[string](b, `document.querySelector("[role=status]")?.textContent || document.body.innerText`); !strings.Contains(got, "紹介を予約しました") {
		t.Errorf("after Enter: %s", got)
	}
	if c, err := d.store.Credits(t.Context(), "c"); err != nil || c.Redeemed != 2 {
		t.Errorf("credits: %+v, %v", c, err)
	}
}

// tabTo presses Tab until the element with the id has the focus; each focus on the
// way can be seen.
func tabTo(t *testing.T, b *browsertest.Browser, id string) {
	t.Helper()
	for range 40 {
		b.Do(chromedp.KeyEvent(kb.Tab))
		at := browsertest.Eval[[]string](b, `(e => [e.id, e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)`)
		if at[2] == "none" {
			t.Errorf("focus on %s %s cannot be seen", at[1], at[0])
		}
		if at[0] == id {
			return
		}
	}
	t.Fatalf("%s is not reached", id)
}

func press(t *testing.T, b *browsertest.Browser) {
	t.Helper()
	if resp, err := chromedp.RunResponse(b.Ctx, chromedp.KeyEvent(kb.Enter)); err != nil || resp.Status != http.StatusOK {
		t.Fatalf("Enter: %v, %v", resp, err)
	}
}
