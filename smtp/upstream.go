package smtp

import (
	"context"
	"io"
)

// Extensions is what an upstream announced in its EHLO reply: upper-case
// keyword to parameters ("SIZE" to "52428800"). It never holds STARTTLS or AUTH.
type Extensions map[string]string

// Content is a message on its way out. WriteTo may be called again (a stale
// connection is retried from the start) and writes Size bytes each time.
type Content interface {
	io.WriterTo
	Size() int64
}

// upstream is the mail server behind a company. The pool in pool.go implements it.
type upstream interface {
	// Extensions returns the mirror of the upstream's EHLO, probed at most every
	// ten minutes; it dials when nothing is known yet.
	Extensions(ctx context.Context) (Extensions, error)
	// BeginAll takes a connection for one transaction and sends MAIL, and RCPT for
	// the recipients that are known already, in one round trip where the server lets
	// (RFC 2920). There is an answer for each recipient that was asked about: for
	// all of them or none, and none if MAIL was refused. A non-nil error means that
	// there was no reply to hand on (see replyFor).
	BeginAll(ctx context.Context, mail envelopeLine, to []envelopeLine) (transaction, Reply, []Reply, error)
}

// transaction is one mail transaction with an upstream. Not for concurrent use.
type transaction interface {
	// Rcpt sends one recipient and returns the upstream's own answer.
	Rcpt(ctx context.Context, path, params string) (Reply, error)
	// Data sends the whole message and returns the reply to it. An error after
	// the final dot wraps errOutcomeUnknown.
	Data(ctx context.Context, c Content) (Reply, error)
	// End gives the connection back to the pool, or closes it when there is any
	// doubt. It must be called exactly once.
	End()
}
