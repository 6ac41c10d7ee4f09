package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 4, 1, 12, 0, 0, 123456789, time.FixedZone("JST", 9*3600))

const cooling = 7 * 24 * time.Hour

var states = []store.State{store.Offered, store.Sent, store.OptedIn, store.Voided, store.Withdrawn, store.Erased, store.Expired}

// TestTransitions is the table of states in full: what each step makes of each
// state. "!" stands for a refused step, which must leave the state alone.
func TestTransitions(t *testing.T) {
	const no = store.State("!")
	for _, c := range []struct {
		step string
		do   func(r *store.Referral) error
		want []store.State // in the order of states
	}{
		{"Confirm", func(r *store.Referral) error { return r.Confirm(noon) },
			[]store.State{store.Sent, store.Sent, store.OptedIn, no, store.Withdrawn, store.Erased, store.Expired}},
		{"Void", func(r *store.Referral) error { return r.Void(noon) },
			[]store.State{store.Voided, store.Sent, store.OptedIn, store.Voided, store.Withdrawn, store.Erased, store.Expired}},
		{"OptIn", func(r *store.Referral) error { return r.OptIn(noon, store.Consent{TextID: "t"}) },
			[]store.State{store.OptedIn, store.OptedIn, store.OptedIn, no, store.OptedIn, no, no}},
		{"Withdraw", func(r *store.Referral) error { return r.Withdraw(noon, cooling) },
			[]store.State{no, no, store.Withdrawn, no, store.Withdrawn, no, no}},
		{"Erase", func(r *store.Referral) error { return r.Erase(noon, cooling) },
			[]store.State{store.Erased, store.Erased, store.Erased, store.Erased, store.Erased, store.Erased, store.Erased}},
		{"Expire", func(r *store.Referral) error { return r.Expire(noon) },
			[]store.State{store.Expired, store.Expired, no, no, no, no, store.Expired}},
		{"OptOut", func(r *store.Referral) error { return r.OptOut(noon) }, states},
		{"OptBack", func(r *store.Referral) error { return r.OptBack(noon) }, states},
		{"retry", func(r *store.Referral) error { return r.Reoffer(store.Offer{}, true, noon) },
			[]store.State{store.Offered, store.Sent, store.OptedIn, store.Offered, store.Withdrawn, store.Erased, store.Expired}},
		{"another message", func(r *store.Referral) error { return r.Reoffer(store.Offer{}, false, noon) },
			[]store.State{store.Offered, no, no, store.Offered, no, no, no}},
	} {
		for i, from := range states {
			t.Run(c.step+" from "+string(from), func(t *testing.T) {
				r := store.Referral{ID: "x", State: from, OptedInAt: store.Clock(noon), Consent: &store.Consent{}}
				err := c.do(&r)
				want := c.want[i]
				if refused := err != nil; refused != (want == no) {
					t.Fatalf("got error %v, want %s", err, want)
				}
				if want == no {
					want = from
				}
				if r.State != want {
					t.Errorf("got %s, want %s", r.State, want)
				}
			})
		}
	}
}

func TestOptInCountsAndKeepsFirstConsent(t *testing.T) {
	r := store.NewReferral("1", store.Offer{Company: "c", Person: "p"}, noon)
	if err := r.OptIn(noon, store.Consent{TextID: "first"}); err != nil {
		t.Fatal(err)
	}
	if err := r.OptIn(noon.Add(time.Hour), store.Consent{TextID: "second"}); err != nil {
		t.Fatal(err)
	}
	if !r.Counted || r.Consent.TextID != "first" || !r.OptedInAt.Equal(store.Clock(noon)) {
		t.Errorf("got counted %v, consent %q, at %v", r.Counted, r.Consent.TextID, r.OptedInAt)
	}
	if r.Consent.At.IsZero() || r.Consent.At.Location() != time.UTC || r.Consent.At.Nanosecond()%1000 != 0 {
		t.Errorf("consent time %v is not UTC in microseconds", r.Consent.At)
	}
	test := store.NewReferral("2", store.Offer{Test: true}, noon)
	if err := test.OptIn(noon, store.Consent{}); err != nil || test.Counted {
		t.Errorf("test mode: error %v, counted %v", err, test.Counted)
	}
}

func TestWithdrawAndEraseReverseOnlyWithinCoolingOff(t *testing.T) {
	steps := map[string]func(*store.Referral, time.Time) error{
		"withdraw": func(r *store.Referral, at time.Time) error { return r.Withdraw(at, cooling) },
		"erase":    func(r *store.Referral, at time.Time) error { return r.Erase(at, cooling) },
	}
	for name, step := range steps {
		for _, c := range []struct {
			after   time.Duration
			counted bool
		}{{0, false}, {cooling - time.Second, false}, {cooling, true}, {10 * cooling, true}} {
			r := store.NewReferral("1", store.Offer{Company: "c", Person: "p", Rule: "rule"}, noon)
			if err := r.OptIn(noon, store.Consent{Profile: []byte("sealed")}); err != nil {
				t.Fatal(err)
			}
			if err := step(&r, noon.Add(c.after)); err != nil {
				t.Fatal(err)
			}
			if r.Counted != c.counted {
				t.Errorf("%s after %v: counted %v, want %v", name, c.after, r.Counted, c.counted)
			}
			if r.Consent != nil && r.Consent.Profile != nil {
				t.Errorf("%s: the profile is still there", name)
			}
			if name == "erase" && (r.Person != "" || r.Consent != nil || r.Rule != "rule") {
				t.Errorf("erase left %q, %v, rule %q", r.Person, r.Consent != nil, r.Rule)
			}
		}
	}
}

func TestWithdrawDoesNotTouchSharedConsent(t *testing.T) {
	r := store.NewReferral("1", store.Offer{}, noon)
	if err := r.OptIn(noon, store.Consent{Profile: []byte("sealed")}); err != nil {
		t.Fatal(err)
	}
	before := r
	if err := r.Withdraw(noon, cooling); err != nil {
		t.Fatal(err)
	}
	if before.Consent.Profile == nil {
		t.Error("a copy of the referral lost its profile")
	}
}

func TestOverdue(t *testing.T) {
	life := store.DefaultLinkLife
	sent := store.NewReferral("1", store.Offer{}, noon)
	if err := sent.Confirm(noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	offered := store.NewReferral("1", store.Offer{}, noon)
	in := offered
	if err := in.OptIn(noon, store.Consent{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		r    store.Referral
		at   time.Time
		want bool
	}{
		{"fresh", offered, noon, false},
		{"offered, last moment", offered, noon.Add(life - time.Millisecond), false},
		{"offered, over", offered, noon.Add(life), true},
		{"sent counts from delivery", sent, noon.Add(life), false},
		{"sent, over", sent, noon.Add(life + time.Hour), true},
		{"opted in lives on", in, noon.Add(10 * life), false},
		{"expired", store.Referral{State: store.Expired}, noon, true},
	} {
		if got := c.r.Overdue(c.at, life); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestOfferCheck(t *testing.T) {
	good := store.Offer{Key: "k", Token: "t", Company: "c", Person: "p", Rule: "r"}
	if err := good.Check(); err != nil {
		t.Errorf("good offer: %v", err)
	}
	for name, spoil := range map[string]func(*store.Offer){
		"no company":       func(o *store.Offer) { o.Company = "" },
		"NUL in company":   func(o *store.Offer) { o.Company = "a\x00b" },
		"no key":           func(o *store.Offer) { o.Key = "" },
		"no token":         func(o *store.Offer) { o.Token = "" },
		"no person":        func(o *store.Offer) { o.Person = "" },
		"NUL in person":    func(o *store.Offer) { o.Person = "\x00" },
		"line end in rule": func(o *store.Offer) { o.Rule = "a\n" },
	} {
		o := good
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTally(t *testing.T) {
	for _, c := range []struct {
		counted, redeemed int64
		ratio             int
		earned, available int64
	}{
		{0, 0, 10, 0, 0}, {9, 0, 10, 0, 0}, {10, 0, 10, 1, 1}, {11, 0, 10, 1, 1}, {19, 1, 10, 1, 0}, {20, 1, 10, 2, 1},
		{9, 1, 10, 0, 0}, {19, 2, 10, 1, 0}, {30, 2, 10, 3, 1}, {10, 0, 0, 1, 1}, {5, 0, 5, 1, 1}, {-1, 0, 10, 0, 0},
	} {
		got := store.Tally(c.counted, c.redeemed, c.ratio)
		if got.Earned != c.earned || got.Available() != c.available {
			t.Errorf("Tally(%d, %d, %d): earned %d, available %d; want %d, %d",
				c.counted, c.redeemed, c.ratio, got.Earned, got.Available(), c.earned, c.available)
		}
	}
}

func TestTallyNeverGivesMoreThanEarned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counted := rapid.Int64Range(0, 1000).Draw(t, "counted")
		ratio := rapid.IntRange(1, 20).Draw(t, "ratio")
		c := store.Tally(counted, 0, ratio)
		for c.Redeem() == nil {
		}
		if c.Redeemed*int64(ratio) > counted || (c.Redeemed+1)*int64(ratio) <= counted {
			t.Fatalf("%d counted at %d gave %d introductions", counted, ratio, c.Redeemed)
		}
		if err := c.Redeem(); !errors.Is(err, store.ErrNoCredit) {
			t.Fatalf("one more: %v", err)
		}
	})
}

func TestIDsSortByTime(t *testing.T) {
	var g store.IDs
	last := ""
	for _, at := range []time.Duration{0, 0, time.Millisecond, -time.Hour, time.Second} {
		for range 1000 {
			id := g.Next(noon.Add(at))
			if id <= last || len(id) != 2*store.IDLen {
				t.Fatalf("id %q does not follow %q", id, last)
			}
			last = id
		}
	}
}
