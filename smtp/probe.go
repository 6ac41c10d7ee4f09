package smtp

import (
	"context"
	"crypto/tls"
	"slices"
	"time"
)

// Diagnosis is what a look at one server found. What comes after a failed step
// is empty.
type Diagnosis struct {
	Server     Server
	Remote     string               // address that was connected to
	Extensions Extensions           // without STARTTLS and AUTH
	Mechanisms []string             // of AUTH, upper case
	TLS        *tls.ConnectionState // nil: plaintext
	LoggedIn   bool
	Opening    time.Duration // from dialling to the point where MAIL may follow
	RoundTrip  time.Duration // of one command
	// Err is the trouble: an *UpstreamError, whose Step tells how far it came.
	// A *ReplyError within holds the server's words.
	Err error
}

// Probe looks at every server on a connection of its own, past the pool and the
// breakers, and sends no mail.
func (u *Upstream) Probe(ctx context.Context) []Diagnosis {
	found := make([]Diagnosis, 0, len(u.o.Servers))
	for _, s := range u.o.Servers {
		found = append(found, u.probe(ctx, s))
	}
	return found
}

func (u *Upstream) probe(ctx context.Context, s Server) Diagnosis {
	d := Diagnosis{Server: s}
	ctx, cancel := context.WithTimeout(ctx, u.o.Timeouts.Begin)
	defer cancel()
	began := time.Now()
	c, err := u.connect(ctx, s)
	if err != nil {
		d.Err = err
		return d
	}
	defer c.leave()
	d.Opening = time.Since(began)
	d.Remote = c.raw.RemoteAddr().String()
	d.Extensions, d.Mechanisms, d.TLS = c.extensions, slices.Clone(c.mechanisms), c.secure
	d.LoggedIn = u.o.Auth != nil
	defer c.guard(ctx)()
	began = time.Now()
	if _, err := c.step(ctx, "NOOP", "NOOP"); err != nil {
		d.Err = err
		return d
	}
	d.RoundTrip = time.Since(began)
	return d
}

// Send sends a mail of our own: addresses without brackets, from "" for the null
// path. The reply is the server's last word; unless that is 2xx there is an
// error too, a *ReplyError if the server refused.
func (u *Upstream) Send(ctx context.Context, from, to string, m Content) (Reply, error) {
	params := ""
	if !onlyASCII(from) || !onlyASCII(to) {
		params = "SMTPUTF8" // RFC 6531, section 3.4
	}
	x, r, err := u.Begin(ctx, "<"+from+">", params)
	if err != nil {
		return Reply{}, err
	}
	defer x.End()
	if err := expect(r, nil); err != nil {
		return r, err
	}
	r, err = x.Rcpt(ctx, "<"+to+">", "")
	if err = expect(r, err); err != nil {
		return r, err
	}
	r, err = x.Data(ctx, m)
	return r, expect(r, err)
}
