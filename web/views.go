package web

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// A view is a person's when the page's own style sheet was fetched for it, by GET,
// later than machineWindow after the mail was sent: scanners come within seconds.
const (
	machineWindow = 120 * time.Second
	confirmWithin = 30 * time.Second
	maxOpenViews  = 10_000
)

// viewCounter holds views until their style sheet was fetched, or was not.
type viewCounter struct {
	now   func() time.Time
	count func(t store.Token, machine bool)

	mu   sync.Mutex // guards open
	open map[string]openView
}

type openView struct {
	token store.Token
	at    time.Time
}

func newViewCounter(now func() time.Time, count func(store.Token, bool)) *viewCounter {
	return &viewCounter{now: now, count: count, open: map[string]openView{}}
}

// begin notes a view and returns its name for the style sheet's address,
// or "" when it is a machine's already.
func (c *viewCounter) begin(r *http.Request, ref store.Referral, t store.Token) string {
	since := ref.SentAt
	if since.IsZero() {
		since = ref.OfferedAt
	}
	c.mu.Lock()
	full := len(c.open) >= maxOpenViews
	c.mu.Unlock()
	if r.Method == http.MethodHead || c.now().Sub(since) < machineWindow || full {
		c.count(t, true)
		return ""
	}
	name := rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[name] = openView{t, c.now()}
	return name
}

// confirm counts the view as a person's.
func (c *viewCounter) confirm(name string) {
	c.mu.Lock()
	v, ok := c.open[name]
	delete(c.open, name)
	c.mu.Unlock()
	if ok {
		c.count(v.token, false)
	}
}

// sweep counts views that were not confirmed in time as a machine's.
func (c *viewCounter) sweep() { c.end(c.now().Add(-confirmWithin)) }

func (c *viewCounter) flush() { c.end(c.now().Add(time.Hour)) }

func (c *viewCounter) end(before time.Time) {
	var ended []store.Token
	c.mu.Lock()
	for name, v := range c.open {
		if v.at.Before(before) {
			ended = append(ended, v.token)
			delete(c.open, name)
		}
	}
	c.mu.Unlock()
	for _, t := range ended {
		c.count(t, true)
	}
}
