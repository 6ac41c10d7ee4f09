package smtp

import (
	"context"
	"io"
	"time"

	"github.com/careerrelay/careerrelay/rewrite"
)

// editor is package rewrite as the line sees it; tests put faults in its place.
// An error that is a *rewrite.Unedited is a reason to pass the message as it is,
// and no failure.
type editor interface {
	inspect(ctx context.Context, r io.ReaderAt, size int64) (letter, error)
}

// letter is one message that was inspected.
type letter interface {
	decide(env rewrite.Envelope) rewrite.Verdict
	splice(v rewrite.Verdict, l links) (edited, error)
}

// edited is a letter with its edits.
type edited interface {
	Edits() []rewrite.Edit
	Prove() error
}

// links is what a block points to, and how the next hop wants it.
type links struct {
	link, optOut string
	sevenBit     bool   // the next hop takes no 8-bit octets
	signer       string // domain that signs the result; "" for none
}

// rewriter edits the mail of one company.
type rewriter struct {
	company *Company
	limits  rewrite.Limits
	budget  time.Duration // of one message
	known   []string      // beginnings of our links
}

func (w *rewriter) inspect(ctx context.Context, r io.ReaderAt, size int64) (letter, error) {
	end := time.Now().Add(w.budget)
	limits := w.limits
	limits.Expired = func() bool { return ctx.Err() != nil || time.Now().After(end) }
	m, err := rewrite.Parse(r, size, limits)
	switch {
	case err != nil:
		return nil, err
	case m.Reason != "":
		return nil, &rewrite.Unedited{Reason: m.Reason}
	}
	return &rewriterLetter{w, m}, nil
}

type rewriterLetter struct {
	rewriter *rewriter
	message  *rewrite.Message
}

func (l *rewriterLetter) decide(env rewrite.Envelope) rewrite.Verdict {
	reading := l.message.Reading()
	return l.rewriter.company.Rules.Decide(&reading, env)
}

func (l *rewriterLetter) splice(v rewrite.Verdict, to links) (edited, error) {
	c := l.rewriter.company
	block, found := c.Block(v, to.link, to.optOut)
	if !found {
		return nil, &rewrite.Unedited{Reason: "no_wording"}
	}
	return l.message.Edit(block, rewrite.EditOptions{
		BreakDKIM: c.DKIM != SkipSigned, StripDKIM: to.signer, Links: l.rewriter.known, SevenBit: to.sevenBit,
	})
}
