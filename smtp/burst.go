package smtp

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// burst is the guard of one company: it refuses links when far more of its mail
// is to carry one than is normal. Mail that was refused a link counts, too: as
// long as the flood lasts the guard stays shut. What it remembers is in the
// store, so neither a restart nor a second relay begins anew. Safe for
// concurrent use.
type burst struct {
	company string
	store   Referrals

	mu     sync.Mutex // guards all below
	loaded bool
	slots  map[time.Time]store.Pace // of PaceLife
	fresh  map[time.Time]store.Pace // of these: what the store does not know yet
	normal normal
	shut   bool
	said   bool // that it is shut
}

// normal is the busiest window of a company, as computed for a slot.
type normal struct {
	slot   time.Time
	window time.Duration
	links  int64
}

func newBurst(company string, s Referrals) *burst {
	return &burst{company: company, store: s, slots: map[time.Time]store.Pace{}, fresh: map[time.Time]store.Pace{}}
}

// allow counts a mail that is to carry a link, and tells whether it may. An
// error means that the store could not say what came before.
func (b *burst) allow(ctx context.Context, now time.Time, limit Burst) (bool, error) {
	if limit.Insertions == 0 {
		return true, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(ctx, now); err != nil {
		return false, err
	}
	b.shut = b.links(now, limit.Window) >= b.most(now, limit)
	one := store.PaceAt(b.company, now)
	if one.Allowed = 1; b.shut {
		one.Allowed, one.Refused = 0, 1
	}
	b.add(b.slots, one)
	b.add(b.fresh, one)
	return !b.shut, nil
}

// load reads what the store remembers, once.
func (b *burst) load(ctx context.Context, now time.Time) error {
	if b.loaded {
		return nil
	}
	slots, err := b.store.Pace(ctx, b.company, now.Add(-store.PaceLife))
	if err != nil {
		return err
	}
	for _, p := range slots {
		b.add(b.slots, p)
	}
	b.loaded = true
	return nil
}

func (*burst) add(to map[time.Time]store.Pace, p store.Pace) {
	sum := to[p.Slot]
	sum.Company, sum.Slot = p.Company, p.Slot
	sum.Allowed += p.Allowed
	sum.Refused += p.Refused
	to[p.Slot] = sum
}

// links is the number of mails within the window that carried a link or were
// refused one.
func (b *burst) links(now time.Time, window time.Duration) int64 {
	var sum int64
	for slot := store.PaceAt("", now).Slot; slot.Add(store.PaceSlot).After(now.Add(-window)); slot = slot.Add(-store.PaceSlot) {
		p := b.slots[slot]
		sum += p.Allowed + p.Refused
	}
	return sum
}

// most is the number of links that a window may have.
func (b *burst) most(now time.Time, limit Burst) int64 {
	slot := store.PaceAt("", now).Slot
	if b.normal.slot != slot || b.normal.window != limit.Window {
		b.normal = normal{slot, limit.Window, b.busiest(slot.Add(-limit.Window), limit.Window)}
	}
	return max(int64(limit.Insertions), int64(limit.Factor)*b.normal.links)
}

// busiest is the greatest number of links in a window that was over by then and
// in which none was refused: a flood must not become the measure. What is older
// than PaceLife is forgotten.
func (b *burst) busiest(then time.Time, window time.Duration) int64 {
	var past []store.Pace
	for slot, p := range b.slots {
		if slot.Before(then.Add(-store.PaceLife)) {
			delete(b.slots, slot)
		} else if slot.Before(then) {
			past = append(past, p)
		}
	}
	slices.SortFunc(past, func(a, b store.Pace) int { return a.Slot.Compare(b.Slot) })
	var most, allowed, refused int64
	first := 0
	for _, p := range past {
		allowed, refused = allowed+p.Allowed, refused+p.Refused
		for !past[first].Slot.After(p.Slot.Add(-window)) {
			allowed, refused = allowed-past[first].Allowed, refused-past[first].Refused
			first++
		}
		if refused == 0 {
			most = max(most, allowed)
		}
	}
	return most
}

// news tells whether the next mail would be refused a link, and whether that is
// another answer than the last.
func (b *burst) news(now time.Time, limit Burst) (shut, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		b.shut = b.links(now, limit.Window) >= b.most(now, limit)
	}
	shut, changed = b.shut, b.shut != b.said
	b.said = b.shut
	return shut, changed
}

// flush hands the store what it does not know yet, and learns what other relays
// counted. What the store does not take is kept for the next time.
func (b *burst) flush(ctx context.Context, now time.Time, window time.Duration) error {
	b.mu.Lock()
	fresh := b.fresh
	b.fresh = map[time.Time]store.Pace{}
	b.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	for slot, p := range fresh {
		if err := b.store.AddPace(ctx, p); err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, p := range fresh {
				b.add(b.fresh, p)
			}
			return err
		}
		delete(fresh, slot)
	}
	known, err := b.store.Pace(ctx, b.company, now.Add(-window-store.PaceSlot))
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range known {
		delete(b.slots, p.Slot)
		b.add(b.slots, p)
		b.add(b.slots, b.fresh[p.Slot]) // came while the store was asked
	}
	return nil
}

// flushPaces does so for each company, and shows which guards are shut.
func (p *Proxy) flushPaces(ctx context.Context) {
	for _, c := range p.directory.Load().companies {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeouts.Store)
		err := c.burst.flush(ctx, p.o.Now(), c.Burst.Window)
		cancel()
		if err != nil {
			p.log.Warn("cannot record the pace of links", slog.String("company", c.ID), slog.Any("err", err))
		}
		p.showGuard(c)
	}
}

// showGuard tells who watches the relay that a guard shut or opened.
func (p *Proxy) showGuard(c *company) {
	shut, changed := c.burst.news(p.o.Now(), c.Burst)
	gauge := p.metrics.burstShut.WithLabelValues(c.ID)
	if gauge.Set(0); shut {
		gauge.Set(1)
	}
	switch {
	case changed && shut:
		p.log.Warn("burst guard shut: far more rejections than is normal, their mail passes without links", slog.String("company", c.ID))
	case changed:
		p.log.Info("burst guard open again", slog.String("company", c.ID))
	}
}
