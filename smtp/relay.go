package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/store"
)

// maxBlock is more than the blocks of one message add to it.
const maxBlock = 16 << 10

// transit is one message on its way through the relay.
type transit struct {
	*mail
	receive func() (*spool, error) // brings the whole message, once; nil and closed on error
	answer  func(Reply) error      // tells the client, at once
	hop     hop                    // for the Received line
	log     *slog.Logger
}

// relay carries one message across:
//
//	accept → inspect → decide → record → splice → prove → (sign) → forward → confirm
//
// It answers the client exactly once, with the upstream's word or an honest one
// of ours. It returns errTorn, and has answered nothing, when the message never
// came whole.
func (p *Proxy) relay(ctx context.Context, t *transit) error {
	raw, err := t.receive() // accept: all octets, in memory or a nameless file
	if err != nil {
		return p.notAccepted(t, err)
	}
	defer raw.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeouts.Transaction)
	defer cancel()
	o, err := p.admit(t, raw)
	if err != nil { // a loop, or a file that cannot be read again
		reply := replyFor(err)
		p.tell(t, reply)
		p.account(t, &o, reply, err, began)
		return nil
	}
	if err = p.offer(ctx, t, &o); err != nil { // inspect, decide, record, splice, prove, sign
		p.leaveAlone(ctx, t, &o, err) // the mail matters more than the link
	}
	if o.reason == severalCandidates && t.company.Recipients == SplitSeveral && p.relayEach(ctx, t, &o) {
		return nil // the same steps, once for each candidate
	}
	reply, err := p.forward(ctx, t, &o) // the upstream's answer is our answer
	p.tell(t, reply)
	p.settle(ctx, t, &o, reply) // confirm or void; the client has its answer already
	p.account(t, &o, reply, err, began)
	return nil
}

// offer is what the relay does to one message: what goes upstream, and why.
type offer struct {
	raw       *spool
	head      header
	trace     string         // the lines that go on top
	strip     []rewrite.Edit // stamps that are not ours
	edits     []rewrite.Edit // the block; empty: unedited
	stage     string         // step of the line that runs, or that failed
	reason    string         // why it is unedited; "" if it is edited
	verdict   rewrite.Verdict
	returning bool // our valid stamp is on it: it has been here
	sevenBit  bool // the upstream takes no 8-bit octets
	recorded  bool // referral is in the store
	referral  store.Referral
	token     store.Token
}

// notAccepted ends a message that did not come whole, or may not pass.
func (p *Proxy) notAccepted(t *transit, err error) error {
	o := &offer{stage: "accept"}
	if errors.Is(err, errTorn) {
		p.account(t, o, Reply{}, err, time.Now())
		return err
	}
	reply := replyFor(err)
	p.tell(t, reply)
	p.account(t, o, reply, err, time.Now())
	return nil
}

// admit reads what the relay must know of every message, and writes the lines
// that every message gets.
func (p *Proxy) admit(t *transit, raw *spool) (offer, error) {
	o := offer{raw: raw, stage: "accept"}
	var err error
	if o.head, err = headerOf(raw, p.o.Limits.HeaderBytes); err != nil {
		return o, fmt.Errorf("read header: %w", err)
	}
	ours, others := p.stamp.sort(&o.head, t.company.ID)
	if o.head.received > p.o.Limits.Received || ours > maxPasses {
		return o, errLoop
	}
	now := p.o.Now()
	hop := t.hop
	hop.at = now
	o.returning = ours > 0
	o.strip = strip(others)
	o.trace = hop.line() + p.stamp.line(t.company.ID, o.head.messageID, now)
	p.traffic.add(source{company: t.company.ID}, store.Traffic{Seen: 1})
	return o, nil
}

// offer decides about the message and, if it is to be edited, records the
// referral and makes the edits. An error means that a step of ours failed and
// that the original must go; so does a panic, which would else come back with
// the client's next try, for days.
func (p *Proxy) offer(ctx context.Context, t *transit, o *offer) (err error) {
	defer recovered(&err)
	letter, candidate, err := p.judge(ctx, t, o)
	if err != nil || letter == nil {
		return err
	}
	return p.edit(ctx, t, o, letter, candidate)
}

// judge inspects the message and decides. There is no letter if the message is
// to stay as it is; o.reason says why.
func (p *Proxy) judge(ctx context.Context, t *transit, o *offer) (letter, command, error) {
	o.stage = "inspect"
	candidate, reason := p.candidate(t, o)
	if o.reason = reason; reason != "" {
		return nil, command{}, nil
	}
	theirs, err := t.via.Extensions(ctx)
	if err != nil {
		return nil, command{}, err
	}
	leave, err := p.inspecting(ctx)
	if err != nil {
		return nil, command{}, err
	}
	defer leave()
	l, err := t.company.editor.inspect(ctx, o.raw, o.raw.Size())
	if err != nil {
		return nil, command{}, err
	}
	o.stage = "decide"
	o.verdict = l.decide(t.envelope())
	if o.reason = p.unedited(t, o, theirs); o.reason != "" {
		return nil, command{}, nil
	}
	_, eightBit := theirs["8BITMIME"]
	o.sevenBit = !eightBit
	return l, candidate, nil
}

// edit records the referral of the candidate and makes and proves the edits.
func (p *Proxy) edit(ctx context.Context, t *transit, o *offer, l letter, candidate command) (err error) {
	o.stage = "record"
	if o.reason, err = p.record(ctx, t, o, candidate); err != nil || o.reason != "" {
		return err
	}
	o.stage = "splice"
	keys := t.company.signers(&o.head)
	to := links{sevenBit: o.sevenBit}
	if len(keys) > 0 {
		to.signer = keys[0].Domain
	}
	to.link, to.optOut = p.o.Link(t.company.ID, o.token)
	edited, err := l.splice(o.verdict, to)
	if err != nil {
		return err
	}
	o.stage = "prove"
	if err := edited.Prove(); err != nil {
		return err
	}
	o.edits = edited.Edits()
	return o.sign(keys)
}

// candidate is the only recipient outside the company, or the reason why the
// message is not looked at.
func (p *Proxy) candidate(t *transit, o *offer) (command, string) {
	_, candidates := t.divide()
	switch {
	case t.company.Mode == Off || p.switchedOff(t.company.ID):
		return command{}, "off"
	case p.o.Paused(t.company.ID):
		return command{}, "paused"
	case o.returning:
		return command{}, "returned"
	case len(candidates) == 0:
		return command{}, "no_candidate"
	case o.head.signed && t.company.DKIM == SkipSigned:
		return command{}, "dkim"
	case len(candidates) > 1:
		return command{}, severalCandidates
	}
	return candidates[0], ""
}

// severalCandidates: one text cannot carry two links.
const severalCandidates = "several_candidates"

// divide parts the recipients into the company's own and the candidates.
func (t *transit) divide() (own, candidates []command) {
	for _, r := range t.recipients {
		if r.domain == "" || t.company.owns(r.domain) { // <postmaster> is nobody who applied
			own = append(own, r)
		} else {
			candidates = append(candidates, r)
		}
	}
	return own, candidates
}

// switchedOff tells whether the company was set to off since the transaction
// began: that switch does not wait for a client to begin another.
func (p *Proxy) switchedOff(id string) bool {
	c := p.directory.Load().byID(id)
	return c != nil && c.Mode == Off
}

// inspecting bounds the messages that are inspected at a time, for each may
// need megabytes. A message that finds no place soon goes on unedited: most of
// its time belongs to the upstream.
func (p *Proxy) inspecting(ctx context.Context) (leave func(), err error) {
	wait := time.NewTimer(p.o.Timeouts.Inspect)
	defer wait.Stop()
	select {
	case p.inspections <- struct{}{}:
		return func() { <-p.inspections }, nil
	case <-wait.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *transit) envelope() rewrite.Envelope {
	env := rewrite.Envelope{From: t.from.address(), OwnDomains: t.company.Domains}
	for _, r := range t.recipients {
		env.Recipients = append(env.Recipients, r.address())
	}
	return env
}

// unedited is the reason why a message that was decided about stays as it is.
func (p *Proxy) unedited(t *transit, o *offer, theirs Extensions) string {
	if o.verdict.Kind == rewrite.None || o.verdict.Kind == "" {
		if o.verdict.Near() {
			p.traffic.add(source{t.company.ID, o.verdict.Rule}, store.Traffic{Near: 1})
		}
		return or(o.verdict.Reason, "no_rule")
	}
	p.metrics.detected.WithLabelValues(o.verdict.Rule).Inc()
	p.traffic.add(source{t.company.ID, o.verdict.Rule}, store.Traffic{Matched: 1})
	switch {
	case p.o.Paused(t.company.ID): // while it was looked at
		return "paused"
	case t.company.Mode == Observe:
		return "observe"
	case len(t.company.Release) > 0 && !slices.Contains(t.company.Release, o.verdict.Rule):
		return "not_released"
	case o.head.signed && t.company.DKIM == Resign && len(t.company.signers(&o.head)) == 0:
		return "dkim_key"
	case theirs.size() > 0 && o.Size()+maxBlock > theirs.size(): // the block must not be what makes it too large
		return "size"
	}
	return ""
}

// record commits the referral before a byte of its link goes upstream. A person
// who opted out, or had the link before, is a reason and no failure.
func (p *Proxy) record(ctx context.Context, t *transit, o *offer, candidate command) (reason string, err error) {
	key, err := o.head.messageKey(o.raw)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeouts.Store)
	defer cancel()
	if ok, err := t.company.burst.allow(ctx, p.o.Now(), t.company.Burst); err != nil || !ok {
		return "burst", err
	}
	company, address := t.company.ID, candidate.address()
	o.token = p.o.Keys.Token(company, key, address)
	o.referral, err = p.o.Referrals.Offer(ctx, store.Offer{
		Key:      p.o.Keys.Key(company, key, address),
		Token:    o.token,
		Company:  company,
		Person:   p.o.Keys.Person(company, address),
		Kind:     string(o.verdict.Kind),
		Rule:     o.verdict.Rule,
		Language: o.verdict.Language,
		Stage:    o.verdict.Stage,
		Test:     t.company.Test,
	})
	switch {
	case errors.Is(err, store.ErrSuppressed):
		return "opted_out", nil
	case errors.Is(err, store.ErrOffered):
		return "offered_before", nil
	case err != nil:
		return "", err
	}
	o.recorded = true
	p.metrics.referrals.WithLabelValues("offered").Inc()
	return "", nil
}

// leaveAlone lets the original of a message go, and counts why. A message that
// may not be edited is no failure. A referral whose link is not in the mail is
// void.
func (p *Proxy) leaveAlone(ctx context.Context, t *transit, o *offer, err error) {
	var unedited *rewrite.Unedited
	if o.edits = nil; errors.As(err, &unedited) {
		o.reason = unedited.Reason
	} else {
		o.reason = "failed_" + o.stage
		p.metrics.failOpen.WithLabelValues(o.stage).Inc()
		if errors.Is(err, rewrite.ErrProof) {
			p.metrics.proofs.Inc()
		}
		t.log.Error("message goes unedited: a step failed",
			slog.String("company", t.company.ID), slog.String("stage", o.stage), slog.Any("err", err))
	}
	if o.recorded && o.referral.State == store.Offered {
		p.step(ctx, t, "void", func(ctx context.Context) error { return p.o.Referrals.Void(ctx, o.token) })
	}
	o.recorded = false
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = panicError(r)
	}
}

// panicError tells what happened without the words of the message, which a
// panic's own text could hold.
func panicError(r any) error {
	var trouble runtime.Error
	if err, ok := r.(error); ok && errors.As(err, &trouble) {
		return fmt.Errorf("panic: %w\n%s", trouble, debug.Stack())
	}
	return fmt.Errorf("panic: %T\n%s", r, debug.Stack())
}

// forward sends the message, and makes an answer of whatever comes of it.
func (p *Proxy) forward(ctx context.Context, t *transit, o *offer) (Reply, error) {
	o.stage = "forward"
	began := time.Now()
	reply, err := t.up.Data(ctx, o)
	p.metrics.upstream.WithLabelValues("data").Observe(time.Since(began).Seconds())
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, errOutcomeUnknown) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return replyFor(err), err
	}
	return sensible(reply), nil
}

// tell answers the client. One that is gone will send again what the upstream
// has: the only way to a duplicate, so it is counted.
func (p *Proxy) tell(t *transit, reply Reply) {
	if err := t.answer(reply); err != nil && reply.Class() == 2 {
		p.metrics.unheard.Inc()
		t.log.Warn("client was gone before it heard that its message was accepted", slog.String("transaction", t.id))
	}
}

// settle brings the referral to the state that the upstream's answer means. It
// runs after the client was answered, whatever the store says.
func (p *Proxy) settle(ctx context.Context, t *transit, o *offer, reply Reply) {
	if !o.recorded {
		return
	}
	switch reply.Class() {
	case 2:
		p.traffic.add(source{t.company.ID, o.verdict.Rule}, store.Traffic{Inserted: 1})
		p.step(ctx, t, "sent", func(ctx context.Context) error { return p.o.Referrals.Confirm(ctx, o.token) })
	case 5:
		p.step(ctx, t, "void", func(ctx context.Context) error { return p.o.Referrals.Void(ctx, o.token) })
	}
}

// step runs one step of the store that nobody waits for. What fails here is
// settled by a retry, or by the candidate who uses the link.
func (p *Proxy) step(ctx context.Context, t *transit, event string, run func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeouts.Store)
	defer cancel()
	if err := run(ctx); err != nil {
		event = "unsettled"
		t.log.Error("referral is not settled", slog.String("company", t.company.ID), slog.Any("err", err))
	}
	p.metrics.referrals.WithLabelValues(event).Inc()
}

// Size and WriteTo make an offer the Content that goes upstream.
func (o *offer) Size() int64 {
	size := int64(len(o.trace)) + o.raw.Size()
	for _, e := range o.all() {
		size += int64(len(e.New)) - (e.End - e.Start)
	}
	return size
}

// WriteTo writes the lines on top and the message with its edits.
func (o *offer) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, o.trace)
	if err != nil {
		return int64(n), err
	}
	edits := o.all()
	if len(edits) == 0 {
		written, err := o.raw.WriteTo(w)
		return int64(n) + written, err
	}
	if err := rewrite.Apply(w, o.raw, o.raw.Size(), edits); err != nil {
		return int64(n), fmt.Errorf("write message: %w", err)
	}
	return o.Size(), nil
}

// all is every edit in the order of the message; stamps stand in the header.
func (o *offer) all() []rewrite.Edit {
	if len(o.strip) == 0 {
		return o.edits
	}
	all := slices.Concat(o.strip, o.edits)
	slices.SortStableFunc(all, func(a, b rewrite.Edit) int { return int(a.Start - b.Start) })
	return all
}

// size is the largest message the upstream takes; 0: it did not say.
func (e Extensions) size() int64 {
	n, err := strconv.ParseInt(e["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
