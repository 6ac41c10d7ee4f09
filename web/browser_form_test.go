//go:build browser

package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestBrowserAgencyForm: a browser obeys the page's policy and still gets to the
// agency's form; a machine that ticks and presses everything counts nothing.
func TestBrowserAgencyForm(t *testing.T) {
	b := browse(t)
	var came atomic.Int32
	form := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("ref") != "" {
			came.Add(1)
		}
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<h1>form</h1>"))
	}))
	t.Cleanup(form.Close)
	o := b.pages.o
	o.AgencyForm, _ = url.Parse(form.URL)
	var err error
	if b.pages, err = New(o); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.open(b.path())
		b.clock.pass(5 * time.Second)
		b.do(chromedp.Click("#hand_over"))
		b.submit("form button")
		if got := b.heading(); got != "form" {
			t.Fatalf("the form was not reached: %q", got)
		}
	}
	if c := b.counts(); came.Load() < 2 || c.OptedIn != 0 || c.Counted != 0 {
		t.Errorf("%d came to the form, counts %+v", came.Load(), c)
	}
	b.open(b.path())
	b.checkLooks(t, "handoff")
}
