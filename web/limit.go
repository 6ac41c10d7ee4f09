package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/careerrelay/careerrelay/store"
)

// Forms per token: a person needs two or three, a guesser many.
const (
	formsPerToken = 12
	formsRefill   = 5 * time.Minute
	maxLimited    = 20_000
)

// limiter bounds the forms of each token.
type limiter struct {
	now func() time.Time
	mu  sync.Mutex // guards by
	by  map[[32]byte]*rate.Limiter
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, by: map[[32]byte]*rate.Limiter{}}
}

// allow tells whether the token may send one more form now.
func (l *limiter) allow(t store.Token) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.by[t.Hash()]
	if !ok {
		l.makeRoom()
		one = rate.NewLimiter(rate.Every(formsRefill), formsPerToken)
		l.by[t.Hash()] = one
	}
	return one.AllowN(l.now(), 1)
}

// makeRoom forgets tokens that have their full allowance again.
func (l *limiter) makeRoom() {
	if len(l.by) < maxLimited {
		return
	}
	for key, one := range l.by {
		if one.TokensAt(l.now()) >= formsPerToken {
			delete(l.by, key)
		}
	}
}
