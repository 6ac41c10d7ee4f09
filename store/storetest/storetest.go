// Package storetest is the contract of store.Store as a test suite. Every
// implementation runs it:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, place string, now func() time.Time) store.Store { … })
//	}
//
// It pins down what databases differ in: order, the precision of times,
// concurrent writers of one row, cancelled contexts, reopening.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Open opens the store in place, an empty folder of the test's own, with the
// ratio and link life of store's defaults. Opening the same place again after
// Close must give the same store.
type Open func(t *testing.T, place string, now func() time.Time) store.Store

// start is an instant that no precision but microseconds keeps exactly.
var start = time.Date(2026, 4, 1, 9, 30, 15, 123456789, time.FixedZone("JST", 9*60*60))

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"offer then confirm", offerThenConfirm},
		{"retry gets the same referral", retry},
		{"another message to the same person", anotherMessage},
		{"void", void},
		{"void spares the other message", voidSparesOther},
		{"unknown and void tokens look alike", unknownAndVoid},
		{"used link proves delivery", usedLink},
		{"opt in", optIn},
		{"opt in twice", optInTwice},
		{"ten make one credit", tenMakeOneCredit},
		{"one person counts once", oncePerPerson},
		{"two companies", twoCompanies},
		{"test mode", testMode},
		{"opt out and back", optOutAndBack},
		{"expiry", expiry},
		{"views", views},
		{"report", report},
		{"times", times},
		{"bad input", badInput},
		{"cancelled context", cancelled},
		{"reopening", reopening},
		{"closed", closedStore},
		{"concurrent offers of one message", concurrentOffers},
		{"concurrent opt-ins", concurrentOptIns},
		{"race for the last credit", lastCredit},
		{"ids are time-ordered", idOrder},
		{"model", model},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, open)
			defer f.close()
			c.test(f)
		})
	}
}

// fixture is one store with an injected clock and the keys of one relay.
type fixture struct {
	t     *testing.T
	open  Open
	place string
	clock *clock
	keys  *store.Keys
	s     store.Store
	ctx   context.Context
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newFixture(t *testing.T, open Open) *fixture {
	t.Helper()
	keys, err := store.NewKeys([]byte("storetest's secret of many bytes"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, open: open, place: t.TempDir(), clock: &clock{at: start}, keys: keys, ctx: t.Context()}
	f.s = open(t, f.place, f.clock.now)
	return f
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.s.Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
}

// offer makes what the relay would offer for one message to one person.
func (f *fixture) offer(company, message, address string) store.Offer {
	return store.Offer{
		Key: f.keys.Key(company, message, address), Token: f.keys.Token(company, message, address),
		Company: company, Person: f.keys.Person(company, address),
		Kind: "rejection", Rule: "ja.oinori", Language: "ja", Stage: "document",
	}
}

func (f *fixture) mustOffer(o store.Offer) store.Referral {
	f.t.Helper()
	r, err := f.s.Offer(f.ctx, o)
	if err != nil {
		f.t.Fatalf("offer: %v", err)
	}
	return r
}

// sent offers and confirms.
func (f *fixture) sent(company, message, address string) store.Offer {
	f.t.Helper()
	o := f.offer(company, message, address)
	f.mustOffer(o)
	f.must("confirm", f.s.Confirm(f.ctx, o.Token))
	return o
}

// optedIn offers, confirms and opts in.
func (f *fixture) optedIn(company, message, address string) store.Offer {
	f.t.Helper()
	o := f.sent(company, message, address)
	_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
	f.must("opt in", err)
	return o
}

func (f *fixture) consent() store.Consent {
	return store.Consent{TextID: "optin-ja-1", TextSHA256: "ab12", Locale: "ja", At: f.clock.now(), Method: "typed_address",
		TellBack: true, Profile: []byte{0, 1, 2, 255}}
}

func (f *fixture) lookup(t store.Token) store.Referral {
	f.t.Helper()
	r, err := f.s.Lookup(f.ctx, t)
	if err != nil {
		f.t.Fatalf("look up: %v", err)
	}
	return r
}

func (f *fixture) counts(company string) store.Counts {
	f.t.Helper()
	rows, err := f.s.Report(f.ctx, company)
	if err != nil || len(rows) != 1 {
		f.t.Fatalf("report: %d rows, %v", len(rows), err)
	}
	return rows[0]
}

func (f *fixture) must(step string, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%s: %v", step, err)
	}
}

func (f *fixture) wantErr(step string, err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Errorf("%s: got error %v, want %v", step, err, want)
	}
}

func (f *fixture) wantState(o store.Offer, want store.State) {
	f.t.Helper()
	if got := f.lookup(o.Token).State; got != want {
		f.t.Errorf("state: got %s, want %s", got, want)
	}
}

func (f *fixture) wantCredits(company string, counted, earned, redeemed int64) {
	f.t.Helper()
	got, err := f.s.Credits(f.ctx, company)
	f.must("credits", err)
	if want := (store.Credits{Counted: counted, Earned: earned, Redeemed: redeemed}); got != want {
		f.t.Errorf("credits: got %+v, want %+v", got, want)
	}
}

// person is the address of the i-th candidate.
func person(i int) string { return fmt.Sprintf("candidate%d@example.org", i) }

// message is the i-th Message-ID.
func message(i int) string { return fmt.Sprintf("<%d@ats.example>", i) }
