package smtp

import (
	"context"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// sent is what became of one copy of a message.
type sent struct {
	to      command
	reply   Reply
	earlier bool // an earlier try of the client had delivered it: not sent again
}

// relayEach carries a message to several candidates: each gets a transaction and
// a link of its own, each of the company's own recipients one without a link. It answers
// the client once, for all. false: the message needs no edit, nothing was done.
//
// A try that was cut in the middle is remembered in the store, so that the
// client's next try delivers what is missing and no more.
func (p *Proxy) relayEach(ctx context.Context, t *transit, o *offer) bool {
	own, candidates := t.divide()
	l := p.judgeFirst(ctx, t, o, candidates)
	if l == nil {
		return false
	}
	key, err := o.head.messageKey(o.raw)
	if err != nil {
		return false
	}
	t.end() // nothing was sent in the transaction that has all recipients
	var all []sent
	for i, c := range own {
		all = append(all, p.sendCopy(ctx, t.copyFor(c, i), o.copy("own_recipient"), key, nil))
	}
	for i, c := range candidates {
		all = append(all, p.sendCopy(ctx, t.copyFor(c, len(own)+i), o.copy(""), key, l))
	}
	p.tell(t, p.combine(ctx, t, o, all))
	return true
}

// judgeFirst decides about the message as if the first candidate were the only
// one; rules do not depend on who it is. nil: it goes unedited, to all at once.
func (p *Proxy) judgeFirst(ctx context.Context, t *transit, o *offer, candidates []command) (l letter) {
	probe := o.copy("")
	var err error
	func() {
		defer recovered(&err)
		l, _, err = p.judge(ctx, t.copyFor(candidates[0], 0), probe)
	}()
	o.verdict, o.sevenBit, o.stage = probe.verdict, probe.sevenBit, probe.stage
	if err != nil {
		p.leaveAlone(ctx, t, o, err)
		return nil
	}
	if l == nil {
		o.reason = probe.reason
	}
	return l
}

// copyFor is the transit of one copy.
func (t *transit) copyFor(to command, i int) *transit {
	m := *t.mail
	m.id, m.recipients, m.up = fmt.Sprintf("%s.%d", t.id, i), []command{to}, nil
	c := *t
	c.mail = &m
	return &c
}

// copy is the offer for one copy, before anything was done for it.
func (o *offer) copy(reason string) *offer {
	return &offer{raw: o.raw, head: o.head, trace: o.trace, strip: o.strip, returning: o.returning,
		verdict: o.verdict, sevenBit: o.sevenBit, reason: reason, stage: "record"}
}

// sendCopy carries one copy: record, splice, prove, forward, confirm. l is nil
// for a copy without a link.
func (p *Proxy) sendCopy(ctx context.Context, t *transit, o *offer, key string, l letter) sent {
	result := sent{to: t.recipients[0]}
	copied := p.o.Keys.Copy(t.company.ID, key, result.to.path)
	if result.earlier = p.wasDelivered(ctx, t, copied); result.earlier {
		return result
	}
	began := time.Now()
	if l != nil {
		if err := p.editSafely(ctx, t, o, l); err != nil {
			p.leaveAlone(ctx, t, o, err)
		}
		if s := o.referral.State; o.recorded && (s == store.Sent || s == store.OptedIn) {
			result.earlier = true
			return result
		}
	}
	reply, err := p.forwardCopy(ctx, t, o)
	if reply.Class() == 2 {
		p.remember(ctx, t, copied)
	}
	p.settle(ctx, t, o, reply)
	p.account(t, o, reply, err, began)
	result.reply = reply
	return result
}

func (p *Proxy) editSafely(ctx context.Context, t *transit, o *offer, l letter) (err error) {
	defer recovered(&err)
	return p.edit(ctx, t, o, l, t.recipients[0])
}

// forwardCopy runs a whole transaction upstream.
func (p *Proxy) forwardCopy(ctx context.Context, t *transit, o *offer) (Reply, error) {
	up, reply, err := beginWith(ctx, t.via, t.from.line(), t.recipients[0].line())
	t.up = up
	defer t.end()
	if err != nil {
		return replyFor(err), err
	}
	if reply = sensible(reply); reply.Class() != 2 {
		return reply, nil
	}
	return p.forward(ctx, t, o)
}

// beginWith begins a transaction with one recipient. The reply is that to RCPT, or
// to MAIL if it was refused. The transaction must be ended unless it is nil.
func beginWith(ctx context.Context, via upstream, from, to envelopeLine) (transaction, Reply, error) {
	up, reply, answers, err := via.BeginAll(ctx, from, []envelopeLine{to})
	switch {
	case err != nil || reply.Class() != 2:
		return up, reply, err
	case len(answers) > 0:
		return up, answers[0], nil
	}
	reply, err = up.Rcpt(ctx, to.path, to.params)
	return up, reply, err
}

// combine makes one truth of many. A refusal that may pass makes the client come
// again; what was delivered is then left out. Where some have the message and
// others were refused for good, no reply is true: the sender gets a report about
// those, and the client 250.
func (p *Proxy) combine(ctx context.Context, t *transit, o *offer, all []sent) Reply {
	var last, temporary, permanent Reply
	var refused []sent
	for _, s := range all {
		switch {
		case s.earlier, s.reply.Class() == 2:
			last = firstOf(s.reply, say(250, "2.0.0 Delivered before"))
		case s.reply.Class() == 5:
			permanent = firstOf(permanent, s.reply)
			refused = append(refused, s)
		default:
			temporary = firstOf(temporary, s.reply)
		}
	}
	switch {
	case temporary.Code != 0:
		return temporary
	case len(refused) == 0:
		return last
	case last.Code == 0:
		return permanent
	}
	if err := p.reportRefused(ctx, t, o, refused); err != nil {
		return replyFor(err)
	}
	return last
}

// firstOf is the first reply that says anything.
func firstOf(a, b Reply) Reply {
	if a.Code != 0 {
		return a
	}
	return b
}
