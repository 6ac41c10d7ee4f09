// Package storetest is the contract of store.Store as a test suite. Every
// implementation runs it:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, place string, o storetest.Options) store.Full { … })
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

// Open opens the store in place, an empty folder of the test's own. Opening the
// same place again after Close must give the same store.
type Open func(t *testing.T, place string, o Options) store.Full

// Options are what the suite needs to set; all else is as store's defaults.
type Options struct {
	Now         func() time.Time
	Ratio       int
	Ratios      map[string]int // of companies that have another
	Attribution store.Attribution
	Outbox      bool
}

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

		{"withdraw", withdraw},
		{"withdraw reverses a used credit", reverseUsedCredit},
		{"erase", erase},
		{"correct a profile", setProfile},
		{"suppress without a link", suppress},
		{"pages of referrals", pages},
		{"life of an introduction", introduction},
		{"agency states", agencyStates},
		{"times of agency states", agencyTimes},
		{"changes of a profile", changes},
		{"hand-over by another way", handOver},
		{"programmes", programmes},
		{"books", books},
		{"months", months},
		{"retention", retention},
		{"retention of records", retentionOfRecords},
		{"outbox", outbox},
		{"outbox after a withdrawal", outboxRecall},
		{"unknown ids", unknownIDs},
		{"double opt-in", doubleOptIn},
		{"asked for by the person", asked},
		{"asked for after an erasure", askedAfterErasure},
		{"a token of another referral", foreignToken},
		{"dump and load", dumpAndLoad},
		{"an interrupted load goes on", loadGoesOn},
		{"damaged dumps", damagedDump},

		{"journal", journal},
		{"bad notes", badNotes},
		{"concurrent notes", concurrentNotes},
		{"retention of notes", retentionOfNotes},
		{"dry run of the retention", dryPurge},
		{"reseal", reseal},
		{"find a person", subject},
		{"pace", pace},
		{"copies", copies},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, open, Options{Outbox: true}, c.test) })
	}
	t.Run("no outbox", func(t *testing.T) { run(t, open, Options{}, noOutbox) })
	t.Run("first company", func(t *testing.T) { run(t, open, Options{Attribution: store.FirstCompany}, firstCompany) })
	t.Run("another ratio", func(t *testing.T) { run(t, open, Options{Ratio: 3, Ratios: map[string]int{"own": 2}}, otherRatio) })
	t.Run("ledger model", func(t *testing.T) { run(t, open, Options{Ratio: 3, Outbox: true}, ledgerModel) })
}

// run runs one case in a store of its own, and audits what is left.
func run(t *testing.T, open Open, o Options, test func(*fixture)) {
	f := newFixture(t, open, o)
	defer f.close()
	test(f)
	f.audit()
}

// fixture is one store with an injected clock and the keys of one relay.
type fixture struct {
	t     *testing.T
	open  Open
	place string
	opt   Options
	clock *clock
	keys  *store.Keys
	s     store.Full
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

func newFixture(t *testing.T, open Open, o Options) *fixture {
	t.Helper()
	f := &fixture{t: t, open: open, place: t.TempDir(), opt: o, clock: &clock{at: start}, keys: testKeys(t), ctx: t.Context()}
	f.opt.Now = f.clock.now
	f.s = open(t, f.place, f.opt)
	return f
}

func testKeys(t *testing.T) *store.Keys {
	t.Helper()
	keys, err := store.NewKeys([]byte("storetest's secret of many bytes"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.s = f.open(f.t, f.place, f.opt)
}

// audit fails the test unless the books explain everything. A closed store has
// nothing to audit.
func (f *fixture) audit() store.AuditReport {
	f.t.Helper()
	rep, err := f.s.Audit(f.ctx)
	if errors.Is(err, store.ErrUnavailable) {
		return rep
	}
	f.must("audit", err)
	for _, p := range rep.Problems {
		f.t.Errorf("audit: %s", p)
	}
	return rep
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
