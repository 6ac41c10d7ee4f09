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
	counts map[string]store.Traffic
}

func (t *traffic) add(company string, d store.Traffic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]store.Traffic)
	}
	sum := t.counts[company]
	sum.Seen += d.Seen
	sum.Matched += d.Matched
	sum.Inserted += d.Inserted
	t.counts[company] = sum
}

func (t *traffic) take() map[string]store.Traffic {
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

// FlushTraffic hands what was counted to the store now. What the store does not
// take is kept for the next time.
func (p *Proxy) FlushTraffic(ctx context.Context) {
	for company, d := range p.traffic.take() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeouts.Store)
		err := p.o.Referrals.Add(ctx, company, d)
		cancel()
		if err != nil {
			p.traffic.add(company, d)
			p.log.Warn("cannot record traffic", slog.String("company", company), slog.Any("err", err))
		}
	}
}
