package web

import (
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Forms per token: a person needs two or three, a guesser many. Mails per token
// or address: whoever mistypes needs two, whoever wants to annoy others many.
const (
	formsPerToken = 12
	formsRefill   = 5 * time.Minute
	mailsPerKey   = 3
	mailsRefill   = 8 * time.Hour
	mailsPerFirm  = 60 // by the link of a company, for all visitors together
	firmRefill    = time.Minute
	maxLimited    = 20_000
)

// limiter bounds how often something happens for each key. It keeps hashes only.
type limiter struct {
	now    func() time.Time
	burst  int
	refill time.Duration

	mu sync.Mutex // guards by
	by map[[32]byte]*rate.Limiter
}

func newLimiter(now func() time.Time, burst int, refill time.Duration) *limiter {
	return &limiter{now: now, burst: burst, refill: refill, by: map[[32]byte]*rate.Limiter{}}
}

// allow tells whether it may happen once more for the key now.
func (l *limiter) allow(key string) bool {
	sum := sha256.Sum256([]byte(key))
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.by[sum]
	if !ok {
		l.makeRoom()
		one = rate.NewLimiter(rate.Every(l.refill), l.burst)
		l.by[sum] = one
	}
	return one.AllowN(l.now(), 1)
}

// makeRoom forgets keys that have their full allowance again.
func (l *limiter) makeRoom() {
	if len(l.by) < maxLimited {
		return
	}
	for key, one := range l.by {
		if one.TokensAt(l.now()) >= float64(l.burst) {
			delete(l.by, key)
		}
	}
}
