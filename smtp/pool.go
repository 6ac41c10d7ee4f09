package smtp

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Upstream is the mail server behind a company, or several that stand in for
// each other: it keeps connections, and begins transactions on them. Safe for
// concurrent use.
type Upstream struct {
	o        UpstreamOptions
	breakers []breaker     // one for each server
	places   chan struct{} // taken by each transaction
	probing  chan struct{} // taken by the one who asks for extensions
	buffers  sync.Pool     // of *[]byte, for one message each
	leaving  sync.WaitGroup

	mu     sync.Mutex      // guards the fields below
	idle   []*conversation // the one used last is last
	inUse  int
	closed bool
	known  []Extensions // last EHLO of each server; nil: never asked
	logins [][]string   // mechanisms of AUTH in it
	mirror Extensions   // what all known servers offer; never changed, only replaced
	asked  time.Time    // when mirror was last confirmed
}

// NewUpstream checks the options, all at once, and dials nothing yet.
func NewUpstream(o UpstreamOptions) (*Upstream, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &Upstream{
		o:        o,
		breakers: make([]breaker, len(o.Servers)),
		places:   make(chan struct{}, o.MaxOpen),
		probing:  make(chan struct{}, 1),
		known:    make([]Extensions, len(o.Servers)),
		logins:   make([][]string, len(o.Servers)),
	}, nil
}

// Close ends the idle connections and refuses new transactions. Those under
// way go on; their connections end with them.
func (u *Upstream) Close() error {
	u.mu.Lock()
	idle := u.idle
	u.idle, u.closed = nil, true
	for _, c := range idle {
		c.parked.Stop()
	}
	u.mu.Unlock()
	for _, c := range idle {
		c.leave()
	}
	u.leaving.Wait()
	return nil
}

// enter waits for a place. Each is given back by exit.
func (u *Upstream) enter(ctx context.Context) error {
	select {
	case u.places <- struct{}{}:
	case <-ctx.Done():
		return &UpstreamError{Step: "wait for a connection", Class: ctx.Err()}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		<-u.places
		return &UpstreamError{Step: "begin", Class: errClosed}
	}
	return nil
}

func (u *Upstream) exit() { <-u.places }

// take finds a connection, the servers from index on in their order: for each
// an idle one, unless it must be fresh, or a new one. Whoever takes must park
// or drop it, and tell the breaker of a new one how it went.
func (u *Upstream) take(ctx context.Context, from int, fresh bool) (*conversation, error) {
	var problems []error
	for i := from; i < len(u.o.Servers); i++ {
		if !fresh {
			if c := u.unpark(i); c != nil {
				return c, nil
			}
		}
		c, err := u.dial(ctx, i)
		if err == nil {
			return c, nil
		}
		problems = append(problems, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(problems) == 1 {
		return nil, problems[0]
	}
	return nil, errors.Join(problems...)
}

// dial opens a new connection to one server.
func (u *Upstream) dial(ctx context.Context, i int) (*conversation, error) {
	b := &u.breakers[i]
	s := u.o.Servers[i]
	if !b.allow(u.o.Now()) {
		return nil, &UpstreamError{Server: s.String(), Step: "connect", Class: errBreakerOpen}
	}
	c, err := u.connect(ctx, s)
	if err != nil {
		u.failed(ctx, i)
		return nil, err
	}
	c.index = i
	u.mu.Lock()
	u.inUse++
	u.logins[i] = c.mechanisms
	u.learn(i, c.extensions)
	spare := u.spare()
	u.mu.Unlock()
	if spare != nil {
		spare.leave()
	}
	return c, nil
}

// failed tells the breaker of server i. That the caller went away is not the
// server's fault.
func (u *Upstream) failed(ctx context.Context, i int) {
	if errors.Is(ctx.Err(), context.Canceled) {
		u.breakers[i].abandoned()
		return
	}
	u.breakers[i].failed(u.o.Now())
}

func (u *Upstream) connect(ctx context.Context, s Server) (*conversation, error) {
	dialing, cancel := context.WithTimeout(ctx, u.o.Timeouts.Dial)
	defer cancel()
	raw, err := u.o.Dial(dialing, "tcp", s.Address())
	if err != nil {
		return nil, &UpstreamError{Server: s.String(), Step: "connect", Class: errUnreachable, Cause: err}
	}
	c := &conversation{server: s, raw: raw, conn: raw, in: bufio.NewReaderSize(raw, maxReplyLine), timeouts: u.o.Timeouts}
	defer c.guard(ctx)()
	if err := c.open(ctx, &u.o); err != nil {
		return nil, err
	}
	return c, nil
}

// spare removes the idle connection that waits longest if there are more
// connections than allowed. u.mu is held.
func (u *Upstream) spare() *conversation {
	if u.inUse+len(u.idle) <= u.o.MaxOpen || len(u.idle) == 0 {
		return nil
	}
	c := u.idle[0]
	u.idle = u.idle[1:]
	c.parked.Stop()
	return c
}

// unpark takes the idle connection to server i that was used last.
func (u *Upstream) unpark(i int) *conversation {
	u.mu.Lock()
	defer u.mu.Unlock()
	for at := len(u.idle) - 1; at >= 0; at-- {
		if c := u.idle[at]; c.index == i {
			u.idle = slices.Delete(u.idle, at, at+1)
			u.inUse++
			c.parked.Stop()
			c.parked = nil
			return c
		}
	}
	return nil
}

// park ends the use of a connection: it waits for more work, or ends.
func (u *Upstream) park(c *conversation) {
	u.mu.Lock()
	u.inUse--
	keep := !c.over && !c.private && !u.closed && c.messages < c.mostMessages(u.o.MaxMessages) && len(u.idle) < u.o.MaxIdle
	if keep {
		u.idle = append(u.idle, c)
		c.parked = time.AfterFunc(u.o.IdleLife, func() { u.expire(c) })
	}
	u.mu.Unlock()
	if !keep {
		c.leave()
	}
}

// expire ends a connection that waited too long.
func (u *Upstream) expire(c *conversation) {
	u.mu.Lock()
	at := slices.Index(u.idle, c)
	if at < 0 {
		u.mu.Unlock()
		return
	}
	u.idle = slices.Delete(u.idle, at, at+1)
	u.leaving.Add(1)
	u.mu.Unlock()
	defer u.leaving.Done()
	c.leave()
}

// forgetIdle ends the idle connections to server i: one of them was found dead, and
// what ended it, a restart most likely, ended them all.
func (u *Upstream) forgetIdle(i int) {
	for c := u.unpark(i); c != nil; c = u.unpark(i) {
		c.cut()
		c.over = true
		u.park(c)
	}
}

func (u *Upstream) buffer() *[]byte {
	if b, ok := u.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, transferBuffer)
	return &b
}
