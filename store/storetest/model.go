package storetest

import (
	"context"
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/careerrelay/careerrelay/store"
)

// modelPerson is what the simplest possible store would know of one person of
// one company.
type modelPerson struct {
	messages   map[int]bool // offered messages; true: not void
	reached    bool         // a message was confirmed, or a link used
	optedIn    bool
	suppressed bool
}

// modelRun is one random history, played to the store and to the model.
type modelRun struct {
	*fixture
	people   map[string]*modelPerson
	redeemed map[string]int64
}

// model plays random histories of three people, two companies and three
// messages each, and compares every answer.
func model(f *fixture) {
	round := 0
	rapid.Check(f.t, func(t *rapid.T) {
		round++ // companies of its own, so that one store serves all histories
		m := &modelRun{fixture: f, people: map[string]*modelPerson{}, redeemed: map[string]int64{}}
		company := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "company"), round)
		})
		who := func(t *rapid.T) (string, int, int) {
			return company.Draw(t, "c"), rapid.IntRange(0, 2).Draw(t, "person"), rapid.IntRange(0, 2).Draw(t, "message")
		}
		t.Repeat(map[string]func(*rapid.T){
			"offer":   func(t *rapid.T) { m.doOffer(t, m.at(who(t))) },
			"confirm": func(t *rapid.T) { m.doConfirm(t, m.at(who(t))) },
			"void":    func(t *rapid.T) { m.doVoid(t, m.at(who(t))) },
			"opt in":  func(t *rapid.T) { m.doOptIn(t, m.at(who(t))) },
			"opt out": func(t *rapid.T) { m.doOptOut(t, m.at(who(t))) },
			"redeem":  func(t *rapid.T) { m.doRedeem(t, company.Draw(t, "c")) },
			"":        func(t *rapid.T) { m.compare(t) },
		})
	})
}

// spot is one message to one person of one company.
type spot struct {
	o store.Offer
	n int
	p *modelPerson
}

func (m *modelRun) at(company string, who, n int) spot {
	key := fmt.Sprint(company, " ", who)
	p := m.people[key]
	if p == nil {
		p = &modelPerson{messages: map[int]bool{}}
		m.people[key] = p
	}
	return spot{o: m.offer(company, message(n), person(who)), n: n, p: p}
}

func (m *modelRun) expect(t *rapid.T, step string, got, want error) {
	if !errors.Is(got, want) {
		t.Fatalf("%s: got %v, want %v", step, got, want)
	}
}

func (m *modelRun) doOffer(t *rapid.T, s spot) {
	_, known := s.p.messages[s.n]
	var want error
	switch {
	case s.p.suppressed:
		want = store.ErrSuppressed
	case s.p.reached && !known:
		want = store.ErrOffered
	default:
		s.p.messages[s.n] = true
	}
	_, err := m.s.Offer(m.ctx, s.o)
	m.expect(t, "offer", err, want)
}

// live reports whether a link is known, and not void.
func (s spot) live() (known, live bool) {
	live, known = s.p.messages[s.n]
	return known, live
}

func (m *modelRun) doConfirm(t *rapid.T, s spot) {
	known, live := s.live()
	if known && !live {
		return // the relay never confirms what the upstream refused
	}
	var want error
	if known {
		s.p.reached = true
	} else {
		want = store.ErrNotFound
	}
	m.expect(t, "confirm", m.s.Confirm(m.ctx, s.o.Token), want)
}

func (m *modelRun) doVoid(t *rapid.T, s spot) {
	known, _ := s.live()
	var want error
	switch {
	case !known:
		want = store.ErrNotFound
	case !s.p.reached:
		s.p.messages[s.n] = false
	}
	m.expect(t, "void", m.s.Void(m.ctx, s.o.Token), want)
}

func (m *modelRun) doOptIn(t *rapid.T, s spot) {
	var want error
	if _, live := s.live(); live {
		s.p.reached, s.p.optedIn = true, true
	} else {
		want = store.ErrNotFound
	}
	_, err := m.s.OptIn(m.ctx, s.o.Token, store.Consent{TextID: "t"})
	m.expect(t, "opt in", err, want)
}

func (m *modelRun) doOptOut(t *rapid.T, s spot) {
	back := rapid.Bool().Draw(t, "back")
	var want error
	if _, live := s.live(); live {
		s.p.suppressed = !back
	} else {
		want = store.ErrNotFound
	}
	if back {
		m.expect(t, "opt back", m.s.OptBack(m.ctx, s.o.Token), want)
		return
	}
	m.expect(t, "opt out", m.s.OptOut(m.ctx, s.o.Token), want)
}

func (m *modelRun) doRedeem(t *rapid.T, company string) {
	var want error
	if store.Tally(m.counted(company), m.redeemed[company], store.DefaultRatio).Available() == 0 {
		want = store.ErrNoCredit
	} else {
		m.redeemed[company]++
	}
	_, err := m.s.Redeem(m.ctx, company, "")
	m.expect(t, "redeem", err, want)
}

func (m *modelRun) counted(company string) (n int64) {
	for i := range 3 {
		if p := m.people[fmt.Sprint(company, " ", i)]; p != nil && p.optedIn {
			n++
		}
	}
	return n
}

func (m *modelRun) compare(t *rapid.T) {
	for key, p := range m.people {
		var company string
		var who int
		fmt.Sscan(key, &company, &who)
		for n := range p.messages {
			s := m.at(company, who, n)
			r, err := m.s.Lookup(m.ctx, s.o.Token)
			if _, live := s.live(); !live {
				m.expect(t, "look up", err, store.ErrNotFound)
				continue
			}
			want := store.Offered
			switch {
			case p.optedIn:
				want = store.OptedIn
			case p.reached:
				want = store.Sent
			}
			if err != nil || r.State != want || r.Counted != p.optedIn || r.OptedOut != p.suppressed {
				t.Fatalf("message %d to %s: %v counted %v out %v, %v; want %s, %v, %v",
					n, key, r, r.Counted, r.OptedOut, err, want, p.optedIn, p.suppressed)
			}
		}
		c, err := m.s.Credits(m.ctx, company)
		if want := store.Tally(m.counted(company), m.redeemed[company], store.DefaultRatio); err != nil || c != want {
			t.Fatalf("credits of %s: %+v, %v; want %+v", company, c, err, want)
		}
	}
}

// ledgerModel plays random histories of opting in, withdrawing, erasing,
// redeeming and returning, with three referrals per credit, and holds the books
// against plain arithmetic. The audit recomputes the same a third way.
func ledgerModel(f *fixture) {
	round := 0
	rapid.Check(f.t, func(t *rapid.T) {
		round++
		m := &ledgerRun{fixture: f, company: fmt.Sprint("c", round), people: map[int]*ledgerPerson{}}
		t.Repeat(map[string]func(*rapid.T){
			"opt in":   func(t *rapid.T) { m.optIn(t) },
			"withdraw": func(t *rapid.T) { m.end(t, f.s.Withdraw, false) },
			"erase":    func(t *rapid.T) { m.end(t, f.s.Erase, true) },
			"redeem":   func(t *rapid.T) { m.redeem(t) },
			"return":   func(t *rapid.T) { m.giveBack(t) },
			"wait":     func(t *rapid.T) { f.clock.add(store.DefaultCooling / 2) },
			"":         func(t *rapid.T) { m.compare(t) },
		})
		rep, err := f.s.Audit(f.ctx)
		if err != nil || !rep.OK() {
			t.Fatalf("audit: %v, %v", err, rep.Problems)
		}
	})
}

type ledgerPerson struct {
	id               string
	at               int64 // microseconds of the last opt-in
	in, counted, end bool
}

type ledgerRun struct {
	*fixture
	company           string
	people            map[int]*ledgerPerson
	counted, redeemed int64
	open              []int64 // introductions that can be returned
	introductions     int64
}

func (m *ledgerRun) optIn(t *rapid.T) {
	n := rapid.IntRange(0, 8).Draw(t, "person")
	p := m.people[n]
	if p == nil {
		p = new(ledgerPerson)
		m.people[n] = p
	}
	if p.end {
		return
	}
	o := m.offer(m.company, message(n), person(n))
	if _, err := m.s.Offer(m.ctx, o); err != nil {
		t.Fatalf("offer: %v", err)
	}
	r, err := m.s.OptIn(m.ctx, o.Token, store.Consent{TextID: "t"})
	if err != nil || !r.Counted {
		t.Fatalf("opt in: counted %v, %v", r.Counted, err)
	}
	if !p.in {
		p.at = store.Clock(m.clock.now()).UnixMicro()
	}
	if !p.counted {
		m.counted++
	}
	p.id, p.in, p.counted = r.ID, true, true
}

// end withdraws or erases.
func (m *ledgerRun) end(t *rapid.T, do func(context.Context, string) (store.Referral, error), forGood bool) {
	p := m.people[rapid.IntRange(0, 8).Draw(t, "person")]
	if p == nil || p.id == "" {
		return
	}
	if p.in && store.Clock(m.clock.now()).UnixMicro()-p.at < store.DefaultCooling.Microseconds() && p.counted {
		p.counted = false
		m.counted--
	}
	if _, err := do(m.ctx, p.id); err != nil && (forGood || !p.end) {
		t.Fatalf("end: %v", err)
	}
	p.in = false
	p.end = p.end || forGood
}

func (m *ledgerRun) redeem(t *rapid.T) {
	var want error
	if store.Tally(m.counted, m.redeemed, m.opt.Ratio).Available() == 0 {
		want = store.ErrNoCredit
	} else {
		m.redeemed++
		m.introductions++
		m.open = append(m.open, m.introductions)
	}
	if _, err := m.s.Redeem(m.ctx, m.company, ""); !errors.Is(err, want) {
		t.Fatalf("redeem: got %v, want %v", err, want)
	}
}

func (m *ledgerRun) giveBack(t *rapid.T) {
	if len(m.open) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(t, "introduction")
	if _, err := m.s.Advance(m.ctx, m.company, m.open[i], store.EntryReturn, ""); err != nil {
		t.Fatalf("return: %v", err)
	}
	m.redeemed--
	m.open = append(m.open[:i], m.open[i+1:]...)
}

func (m *ledgerRun) compare(t *rapid.T) {
	got, err := m.s.Credits(m.ctx, m.company)
	if want := store.Tally(m.counted, m.redeemed, m.opt.Ratio); err != nil || got != want {
		t.Fatalf("credits: got %+v, %v; want %+v", got, err, want)
	}
}
