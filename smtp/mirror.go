package smtp

import (
	"context"
	"maps"
	"strconv"
	"time"
)

// How long the mirror is good for, and how long a failed look waits for the next.
const (
	mirrorLife  = 10 * time.Minute
	mirrorRetry = time.Minute
)

// Extensions implements upstream: what all servers offer that were ever asked.
// Each new connection refreshes it; after ten minutes without one, somebody who calls
// makes one. While that fails, what is known stays good.
func (u *Upstream) Extensions(ctx context.Context) (Extensions, error) {
	known, due := u.reflection()
	if !due {
		return known, nil
	}
	if known != nil { // one asks, the others need not wait
		select {
		case u.probing <- struct{}{}:
		default:
			return known, nil
		}
	} else {
		select {
		case u.probing <- struct{}{}:
		case <-ctx.Done():
			return nil, &UpstreamError{Step: "EHLO", Class: ctx.Err()}
		}
	}
	defer func() { <-u.probing }()
	if known, due = u.reflection(); !due {
		return known, nil
	}
	return u.look(ctx, known)
}

// reflection is what is known, nil for nothing, and whether it is time to look
// again. The result is the caller's own.
func (u *Upstream) reflection() (known Extensions, due bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.mirror), u.mirror == nil || u.o.Now().Sub(u.asked) >= mirrorLife
}

// look makes a new connection, which goes to the pool.
func (u *Upstream) look(ctx context.Context, known Extensions) (Extensions, error) {
	ctx, cancel := context.WithTimeout(ctx, u.o.Timeouts.Begin)
	defer cancel()
	err := u.enter(ctx)
	if err == nil {
		defer u.exit()
		var c *conversation
		if c, err = u.take(ctx, 0, true); err == nil {
			u.breakers[c.index].succeeded()
			u.park(c)
			known, _ = u.reflection()
			return known, nil
		}
	}
	if known == nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = u.o.Now().Add(mirrorRetry - mirrorLife)
	return known, nil
}

// learn takes the EHLO of server i into the mirror. u.mu is held.
func (u *Upstream) learn(i int, e Extensions) {
	u.asked = u.o.Now()
	if u.mirror != nil && maps.Equal(u.known[i], e) {
		return
	}
	u.known[i] = e
	u.mirror = nil
	for _, e := range u.known {
		switch {
		case e == nil:
		case u.mirror == nil:
			u.mirror = maps.Clone(e)
		default:
			u.mirror = common(u.mirror, e)
		}
	}
}

// common is what both offer, with the smaller SIZE; other parameters are a's.
func common(a, b Extensions) Extensions {
	both := make(Extensions)
	for keyword, params := range a {
		theirs, found := b[keyword]
		if !found {
			continue
		}
		if keyword == "SIZE" {
			params = smallerSize(params, theirs)
		}
		both[keyword] = params
	}
	return both
}

// smallerSize is the smaller of two SIZE parameters; "" and 0 mean no limit (RFC
// 1870, section 4).
func smallerSize(a, b string) string {
	n, _ := strconv.ParseInt(a, 10, 64)
	m, _ := strconv.ParseInt(b, 10, 64)
	if n > 0 && (m <= 0 || n < m) {
		return a
	}
	return b
}
