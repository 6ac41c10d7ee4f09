package smtp

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// rememberMost bounds the copies that are remembered in memory.
const rememberMost = 10_000

// delivered remembers which copies of split messages were delivered while the
// store cannot: mail flows without it.
type delivered struct {
	mu    sync.Mutex // guards the fields below
	when  map[string]time.Time
	queue []string // oldest first
}

func (d *delivered) has(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, found := d.when[key]
	return found
}

func (d *delivered) add(key string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.when == nil {
		d.when = make(map[string]time.Time)
	}
	for len(d.queue) > 0 && (len(d.queue) >= rememberMost || now.Sub(d.when[d.queue[0]]) > store.CopyLife) {
		delete(d.when, d.queue[0])
		d.queue = d.queue[1:]
	}
	if _, found := d.when[key]; !found {
		d.when[key] = now
		d.queue = append(d.queue, key)
	}
}

// wasDelivered tells whether an earlier try brought this copy to the upstream. A
// store that cannot say is no reason to hold mail back.
func (p *Proxy) wasDelivered(ctx context.Context, t *transit, key string) bool {
	if p.delivered.has(key) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeouts.Store)
	defer cancel()
	var found bool
	err := unpanicked(func() (err error) {
		found, err = p.o.Referrals.HasCopy(ctx, key)
		return err
	})
	if err != nil {
		p.unremembered(t, err)
	}
	return found
}

// remember keeps that the upstream has this copy, before the next one is sent: what
// comes after must not make it be sent again.
func (p *Proxy) remember(ctx context.Context, t *transit, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeouts.Store)
	defer cancel()
	if err := unpanicked(func() error { return p.o.Referrals.AddCopy(ctx, key) }); err != nil {
		p.delivered.add(key, p.o.Now())
		p.unremembered(t, err)
	}
}

// unpanicked makes a panic of do an error.
func unpanicked(do func() error) (err error) {
	defer recovered(&err)
	return do()
}

func (p *Proxy) unremembered(t *transit, err error) {
	if errors.Is(err, context.Canceled) {
		return // the relay stops at once
	}
	p.metrics.failOpen.WithLabelValues("remember").Inc()
	t.log.Error("copies are remembered in memory alone: a retry after a restart would double them",
		slog.String("company", t.company.ID), slog.Any("err", err))
}
