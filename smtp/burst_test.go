package smtp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// guarded is a burst guard with a clock and a store that outlives it.
type guarded struct {
	*burst
	t     *testing.T
	now   time.Time
	limit Burst
}

func guard(t *testing.T, s *fakeReferrals, limit Burst) *guarded {
	return &guarded{burst: newBurst("c", s), t: t, now: time.Date(2026, 4, 1, 0, 1, 0, 0, time.UTC), limit: limit}
}

// send lets n mails ask for a link, and returns how many may carry it.
func (g *guarded) send(n int) (allowed int) {
	g.t.Helper()
	for range n {
		ok, err := g.allow(g.t.Context(), g.now, g.limit)
		if err != nil {
			g.t.Fatal(err)
		}
		if ok {
			allowed++
		}
	}
	return allowed
}

func (g *guarded) expect(n, want int) {
	g.t.Helper()
	if got := g.send(n); got != want {
		g.t.Errorf("%s: %d of %d were allowed, want %d", g.now.Format(time.DateTime), got, n, want)
	}
}

func (g *guarded) flushNow() {
	g.t.Helper()
	if err := g.flush(g.t.Context(), g.now, g.limit.Window); err != nil {
		g.t.Fatal(err)
	}
}

func TestBurst(t *testing.T) {
	hour := Burst{Insertions: 10, Factor: 3, Window: time.Hour}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, s *fakeReferrals)
	}{
		{"no more than the limit", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(10, 10)
			g.expect(5, 0)
		}},
		{"no bound", func(t *testing.T, s *fakeReferrals) { guard(t, s, Burst{}).expect(1000, 1000) }},
		{"opens when the window is over", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, Burst{Insertions: 10, Window: time.Hour})
			g.expect(10, 10)
			g.now = g.now.Add(time.Hour + store.PaceSlot)
			g.expect(11, 10)
		}},
		{"stays shut while the flood lasts", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(10, 10)
			for range 20 { // more than an hour of one mail a minute and more
				g.now = g.now.Add(store.PaceSlot)
				g.expect(6, 0)
			}
		}},
		{"a busy company may have more", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(8, 8)
			g.now = g.now.Add(30 * time.Minute)
			g.expect(2, 2) // ten within an hour are its normal
			g.now = g.now.Add(7 * 24 * time.Hour)
			g.expect(40, 30)
		}},
		{"a flood does not become normal", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(5, 5)
			g.now = g.now.Add(24 * time.Hour)
			g.expect(100, 15) // three times five
			g.now = g.now.Add(24 * time.Hour)
			g.expect(100, 15)
		}},
		{"after four weeks nothing is known", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(10, 10)
			g.now = g.now.Add(store.PaceLife + 2*time.Hour)
			g.expect(40, 10)
			if len(g.slots) != 1 {
				t.Errorf("%d slots are remembered", len(g.slots))
			}
		}},
		{"no factor", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, Burst{Insertions: 10, Window: time.Hour})
			g.expect(10, 10)
			g.now = g.now.Add(24 * time.Hour)
			g.expect(40, 10)
		}},
		{"a restart changes nothing", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(12, 10)
			g.flushNow()
			guard(t, s, hour).expect(5, 0)
		}},
		{"relays on one store count together", func(t *testing.T, s *fakeReferrals) {
			a, b := guard(t, s, hour), guard(t, s, hour)
			a.expect(1, 1)
			b.expect(5, 5)
			b.flushNow()
			a.expect(1, 1)
			a.flushNow()
			a.expect(5, 3)
		}},
		{"another limit is at once in force", func(t *testing.T, s *fakeReferrals) {
			g := guard(t, s, hour)
			g.expect(10, 10)
			g.limit.Insertions = 12
			g.expect(5, 2)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.do(t, &fakeReferrals{}) })
	}
}

// TestBurstWithoutStore: nothing is allowed before the store said what came
// before, and what it does not take is not lost.
func TestBurstWithoutStore(t *testing.T) {
	trouble := errors.New("store is away")
	s := &fakeReferrals{fault: func() error { return trouble }}
	g := guard(t, s, Burst{Insertions: 10, Window: time.Hour})
	if ok, err := g.allow(t.Context(), g.now, g.limit); ok || !errors.Is(err, trouble) {
		t.Fatalf("allow = %v, %v", ok, err)
	}
	s.fault = nil
	g.expect(4, 4)
	s.fault = func() error { return trouble }
	if err := g.flush(t.Context(), g.now, time.Hour); !errors.Is(err, trouble) {
		t.Errorf("flush = %v", err)
	}
	g.expect(1, 1)
	s.fault = nil
	g.flushNow()
	g.flushNow()
	all, err := s.Pace(t.Context(), "c", time.Time{})
	if err != nil || len(all) != 1 || all[0].Allowed != 5 {
		t.Errorf("store has %+v, %v", all, err)
	}
}

// TestBurstShows: who watches metrics and log hears that a guard shut, and once.
func TestBurstShows(t *testing.T) {
	r := newRig(t, func(o *Options, _ *rig) { o.Companies[0].Burst = Burst{Insertions: 1, Window: time.Hour} })
	p := r.dial()
	for range 3 {
		p.deliver(rejectionMail)
		r.proxy.FlushTraffic(context.Background())
	}
	p.talk("C: QUIT", "S: 221*")
	if got := r.counter("careerrelay_messages_unedited_total", "burst"); got != 2 {
		t.Errorf("%v messages passed for the burst guard", got)
	}
	if got := strings.Count(r.logs.String(), "burst guard shut"); got != 1 {
		t.Errorf("the log says %d times that the guard shut:\n%s", got, r.logs)
	}
}
