package smtp

import (
	"sync"
	"time"
)

// Bounds of a breaker: so many failures in a row open it, for a time that
// doubles with each failed trial.
const (
	breakerFailures = 5
	breakerFirst    = time.Second
	breakerLongest  = 30 * time.Second
)

// breaker keeps us from a server that fails: closed, everybody may try; open,
// nobody for a while; then one may try, and its outcome decides.
type breaker struct {
	mu       sync.Mutex // guards the fields below
	failures int        // in a row
	rest     time.Duration
	until    time.Time // open until then; zero when closed
	trial    bool      // one is trying
}

// allow tells whether a try may be made now. Each is followed by one of
// succeeded, failed and abandoned.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if b.trial || now.Before(b.until) {
		return false
	}
	b.trial = true
	return true
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.rest, b.until, b.trial = 0, 0, time.Time{}, false
}

func (b *breaker) failed(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.failures < breakerFailures {
		return
	}
	if b.trial || b.until.IsZero() {
		b.rest = min(max(2*b.rest, breakerFirst), breakerLongest)
		b.until = now.Add(b.rest)
	}
	b.trial = false
}

// abandoned ends a try that says nothing about the server.
func (b *breaker) abandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
}
