package smtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxQuestions is how many challenges a login may have; SCRAM has two, NTLM two.
const maxQuestions = 8

// personal is a connection on which a client logged in with credentials of its
// own. It is an upstream for that client's session alone: it is never pooled,
// never replaced by another connection, and ends with the session. Not for
// concurrent use.
type personal struct {
	u *Upstream
	c *conversation
}

// Mechanisms are the ways in which a client may log in at the upstream through
// the relay: what all servers offer that were ever asked, without those that
// cannot be handed on. A server that would be told in clear offers none.
func (u *Upstream) Mechanisms(ctx context.Context) ([]string, error) {
	if _, err := u.Extensions(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []string
	asked := false
	for i, mechanisms := range u.logins {
		switch {
		case u.known[i] == nil:
			continue
		case u.o.Servers[i].Security == Plaintext && !u.o.Servers[i].loopback():
			return nil, nil
		case !asked:
			all, asked = slices.DeleteFunc(slices.Clone(mechanisms), unfit), true
		default:
			all = slices.DeleteFunc(all, func(m string) bool { return !slices.Contains(mechanisms, m) })
		}
	}
	return all, nil
}

// unfit tells whether a mechanism cannot be handed on. EXTERNAL and -PLUS are
// about the TLS connection, and there are two of them. GSSAPI, GS2 and DIGEST-MD5
// may put a layer over all that follows (RFC 4422, section 3.7).
func unfit(mechanism string) bool {
	return mechanism == "EXTERNAL" || mechanism == "GSSAPI" || mechanism == "DIGEST-MD5" ||
		strings.HasPrefix(mechanism, "GS2-") || strings.HasSuffix(mechanism, "-PLUS")
}

// LogIn opens a connection for one client and hands its login on: arg is what
// the client said behind AUTH, ask brings its response to a challenge. The reply is
// the server's last word. There is no connection unless that is 235.
func (u *Upstream) LogIn(ctx context.Context, arg string, ask func(Reply) (string, error)) (*personal, Reply, error) {
	c, err := u.takeNew(ctx)
	if err != nil {
		return nil, Reply{}, err
	}
	u.breakers[c.index].succeeded()
	c.private = true
	r, err := c.handOn(ctx, arg, ask)
	if err != nil || r.Code != 235 {
		u.park(c) // which ends a private one
		return nil, r, err
	}
	return &personal{u, c}, r, nil
}

// takeNew opens a connection within the time and the bounds of Begin.
func (u *Upstream) takeNew(ctx context.Context) (*conversation, error) {
	ctx, cancel := context.WithTimeout(ctx, u.o.Timeouts.Begin)
	defer cancel()
	if err := u.enter(ctx); err != nil {
		return nil, err
	}
	defer u.exit()
	return u.take(ctx, 0, true)
}

// handOn carries one AUTH across, each line as it is. If the client does not
// answer, the connection is of no use any more.
func (c *conversation) handOn(ctx context.Context, arg string, ask func(Reply) (string, error)) (Reply, error) {
	defer c.guard(ctx)()
	r, err := c.step(ctx, "AUTH", "AUTH "+arg)
	for questions := 0; err == nil && r.Code == 334; questions++ {
		if questions == maxQuestions {
			return Reply{}, c.trouble(ctx, "AUTH", c.spoil(fmt.Errorf("%w: server asks without end", errMalformed)))
		}
		var response string
		if response, err = ask(r); err != nil {
			return Reply{}, c.spoil(err)
		}
		r, err = c.step(ctx, "AUTH", response)
	}
	return r, err
}

// Extensions implements upstream.
func (p *personal) Extensions(context.Context) (Extensions, error) { return p.c.extensions, nil }

// BeginAll implements upstream, one step at a time. A connection that is lost is
// not replaced: the client must log in again, and is told so.
func (p *personal) BeginAll(ctx context.Context, mail envelopeLine, _ []envelopeLine) (transaction, Reply, []Reply, error) {
	x, r, err := p.begin(ctx, mail)
	if err != nil {
		return nil, Reply{}, nil, err
	}
	return x, r, nil, nil
}

func (p *personal) begin(ctx context.Context, mail envelopeLine) (*exchange, Reply, error) {
	if err := mail.check(); err != nil {
		return nil, Reply{}, fmt.Errorf("check envelope: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.u.o.Timeouts.Begin)
	defer cancel()
	if p.c.over {
		return nil, Reply{}, &UpstreamError{Server: p.c.server.String(), Step: "begin", Class: errLoginLost}
	}
	if err := p.u.enter(ctx); err != nil {
		if errors.Is(err, errClosed) { // replaced by a reload
			err = &UpstreamError{Step: "begin", Class: errLoginLost, Cause: err}
		}
		return nil, Reply{}, err
	}
	x := &exchange{u: p.u, c: p.c, mail: mail, replayed: true}
	r, _, err := p.c.envelope(ctx, mail, nil)
	if err != nil {
		x.End()
		if p.c.over {
			err = &UpstreamError{Server: p.c.server.String(), Step: "begin", Class: errLoginLost, Cause: err}
		}
		return nil, Reply{}, err
	}
	x.mail.code = r.Code
	return x, r, nil
}

// Close ends the connection.
func (p *personal) Close() { p.u.park(p.c) }
