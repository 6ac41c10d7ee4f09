package smtp

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/rewrite"
)

// account writes the one line per message, and counts it. err says more than
// the reply where the reply is ours.
func (p *Proxy) account(t *transit, o *offer, reply Reply, err error, began time.Time) {
	took := time.Since(began)
	p.metrics.messages.WithLabelValues(outcome(reply)).Inc()
	p.metrics.took.Observe(took.Seconds())
	action := "pass"
	if len(o.edits) > 0 {
		action = "insert"
	}
	var size int64
	if o.raw != nil {
		size = o.raw.Size()
		p.metrics.bytes.Add(float64(size))
		if o.reason != "" {
			p.metrics.passed.WithLabelValues(o.reason).Inc()
		}
	}
	attrs := []slog.Attr{
		slog.String("client_id", o.head.clientID), slog.String("transaction", t.id), slog.String("company", t.company.ID),
		slog.String("mail_from_domain", strings.ToLower(t.from.domain)), slog.Int("rcpt_count", len(t.recipients)),
		slog.Int64("size", size), slog.String("verdict", string(or(o.verdict.Kind, rewrite.None))),
		slog.String("rule", o.verdict.Rule), slog.String("action", action), slog.String("reason", o.reason),
		slog.Int("reply", reply.Code), slog.String("outcome", outcome(reply)), slog.String("queue_id", queueID(reply)),
		slog.Duration("took", took),
	}
	if err != nil {
		attrs = append(attrs, slog.String("stage", o.stage), slog.Any("err", err))
	}
	t.log.LogAttrs(context.Background(), slog.LevelInfo, "message", attrs...)
}

// outcome is the word for a reply; no reply at all is a torn transfer.
func outcome(r Reply) string {
	switch r.Class() {
	case 2:
		return "accepted"
	case 4:
		return "deferred"
	case 5:
		return "refused"
	}
	return "torn"
}

// queueID is the name the upstream gave the message, where it says so in the
// words of Postfix, Sendmail and their kin; "" if it does not.
func queueID(r Reply) string {
	for _, line := range r.Lines {
		if _, after, found := strings.Cut(line, "queued as "); found {
			id, _, _ := strings.Cut(after, " ")
			if isQueueID(id) {
				return id
			}
		}
	}
	return ""
}
