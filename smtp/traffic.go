package smtp

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// trafficEvery is how long counts wait in memory: a commit per unedited message
// would cost more than the message. A crash loses what waits; no credit depends
// on it.
const trafficEvery = 5 * time.Second

// traffic gathers counts of messages until the store takes them.
type traffic struct {
	mu     sync.Mutex // guards counts
	counts map[source]store.Traffic
}

// source is what messages are counted under.
type source struct {
	company string
	rule    string // that decided, or ""
}

func (t *traffic) add(from source, d store.Traffic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[source]store.Traffic)
	}
	sum := t.counts[from]
	sum.Seen += d.Seen
	sum.Matched += d.Matched
	sum.Near += d.Near
	sum.Inserted += d.Inserted
	t.counts[from] = sum
}

func (t *traffic) take() map[source]store.Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}

// countTraffic hands the counts to the store from time to time, until ctx ends.
func (p *Proxy) countTraffic(ctx context.Context) {
	tick := time.NewTicker(trafficEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.FlushTraffic(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// FlushTraffic hands what was counted to the store now, for reports and for the
// burst guards. What the store does not
// take is kept for the next time.
func (p *Proxy) FlushTraffic(ctx context.Context) {
	for from, d := range p.traffic.take() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeouts.Store)
		err := p.o.Referrals.Add(ctx, from.company, from.rule, d)
		cancel()
		if err != nil {
			p.traffic.add(from, d)
			p.log.Warn("cannot record traffic", slog.String("company", from.company), slog.Any("err", err))
		}
	}
	p.flushPaces(ctx)
}
