package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

func offerThenConfirm(f *fixture) {
	o := f.offer("c", message(1), person(1))
	r := f.mustOffer(o)
	if r.State != store.Offered || r.Company != "c" || r.Person != o.Person || r.Rule != o.Rule || r.Language != "ja" ||
		r.Kind != "rejection" || r.Stage != "document" || r.ID == "" || !r.SentAt.IsZero() || r.Counted || r.Consent != nil {
		f.t.Errorf("offered: %+v", r)
	}
	f.clock.add(time.Second)
	for range 2 { // repeating is no error
		f.must("confirm", f.s.Confirm(f.ctx, o.Token))
		f.clock.add(time.Hour)
	}
	got := f.lookup(o.Token)
	if got.State != store.Sent || !got.SentAt.Equal(store.Clock(start.Add(time.Second))) {
		f.t.Errorf("sent: state %s at %v", got.State, got.SentAt)
	}
	if got.ID != r.ID || !got.OfferedAt.Equal(r.OfferedAt) {
		f.t.Error("the referral changed otherwise")
	}
	if n := f.counts("c").Sent; n != 1 {
		f.t.Errorf("sent counted %d times", n)
	}
}

func retry(f *fixture) {
	o := f.offer("c", message(1), person(1))
	first := f.mustOffer(o)
	f.clock.add(time.Minute)
	if again := f.mustOffer(o); again.ID != first.ID || !again.OfferedAt.Equal(first.OfferedAt) {
		f.t.Error("retry while offered made another referral")
	}
	f.must("confirm", f.s.Confirm(f.ctx, o.Token))
	if again := f.mustOffer(o); again.ID != first.ID || again.State != store.Sent {
		f.t.Errorf("retry after sent: state %s", again.State)
	}
	_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
	f.must("opt in", err)
	f.must("confirm the retry", f.s.Confirm(f.ctx, o.Token))
	if again := f.mustOffer(o); again.ID != first.ID || again.State != store.OptedIn {
		f.t.Errorf("retry after opt-in: state %s", again.State)
	}
	f.must("void the retry", f.s.Void(f.ctx, o.Token))
	f.wantState(o, store.OptedIn)
}

func anotherMessage(f *fixture) {
	a, b := f.offer("c", message(1), person(1)), f.offer("c", message(2), person(1))
	first := f.mustOffer(a)
	second := f.mustOffer(b) // nothing is known to have arrived yet
	if first.ID != second.ID {
		f.t.Error("two referrals for one person of one company")
	}
	f.must("confirm", f.s.Confirm(f.ctx, b.Token))
	f.wantState(a, store.Sent) // both links lead to the one referral
	f.wantState(b, store.Sent)
	_, err := f.s.Offer(f.ctx, f.offer("c", message(3), person(1)))
	f.wantErr("third message", err, store.ErrOffered)
	_, err = f.s.OptIn(f.ctx, a.Token, f.consent())
	f.must("opt in", err)
	_, err = f.s.Offer(f.ctx, f.offer("c", message(3), person(1)))
	f.wantErr("message after opt-in", err, store.ErrOffered)
}

func void(f *fixture) {
	o := f.offer("c", message(1), person(1))
	first := f.mustOffer(o)
	for range 2 {
		f.must("void", f.s.Void(f.ctx, o.Token))
	}
	_, err := f.s.Lookup(f.ctx, o.Token)
	f.wantErr("look up a void one", err, store.ErrNotFound)
	f.wantErr("confirm a void one", f.s.Confirm(f.ctx, o.Token), store.ErrWrongState)
	f.clock.add(time.Hour)
	again := f.mustOffer(o)
	if again.ID != first.ID || again.State != store.Offered || !again.OfferedAt.Equal(store.Clock(start.Add(time.Hour))) {
		f.t.Errorf("revived: state %s, offered at %v", again.State, again.OfferedAt)
	}
	f.must("confirm", f.s.Confirm(f.ctx, o.Token))
	f.must("void after sent", f.s.Void(f.ctx, o.Token))
	f.wantState(o, store.Sent)
}

func voidSparesOther(f *fixture) {
	a, b := f.offer("c", message(1), person(1)), f.offer("c", message(2), person(1))
	f.mustOffer(a) // its answer was lost: it may have arrived
	f.mustOffer(b)
	f.must("void", f.s.Void(f.ctx, b.Token))
	f.wantState(a, store.Offered)
	_, err := f.s.Lookup(f.ctx, b.Token)
	f.wantErr("look up the void link", err, store.ErrNotFound)
	f.must("void", f.s.Void(f.ctx, a.Token))
	_, err = f.s.Lookup(f.ctx, a.Token)
	f.wantErr("look up the other void link", err, store.ErrNotFound)
	f.mustOffer(f.offer("c", message(3), person(1)))
	_, err = f.s.Lookup(f.ctx, a.Token)
	f.wantErr("a void link after another message", err, store.ErrNotFound)
}

func unknownAndVoid(f *fixture) {
	o := f.offer("c", message(1), person(1))
	f.mustOffer(o)
	f.must("void", f.s.Void(f.ctx, o.Token))
	unknown := f.keys.Token("c", message(9), person(9))
	for name, do := range map[string]func(store.Token) error{
		"look up":  func(t store.Token) error { _, err := f.s.Lookup(f.ctx, t); return err },
		"view":     func(t store.Token) error { return f.s.View(f.ctx, t, false) },
		"opt in":   func(t store.Token) error { _, err := f.s.OptIn(f.ctx, t, f.consent()); return err },
		"opt out":  func(t store.Token) error { return f.s.OptOut(f.ctx, t) },
		"opt back": func(t store.Token) error { return f.s.OptBack(f.ctx, t) },
	} {
		a, b := do(unknown), do(o.Token)
		f.wantErr(name+" unknown", a, store.ErrNotFound)
		f.wantErr(name+" void", b, store.ErrNotFound)
		if a != nil && b != nil && a.Error() != b.Error() {
			f.t.Errorf("%s: unknown says %q, void says %q", name, a, b)
		}
	}
	f.wantErr("confirm unknown", f.s.Confirm(f.ctx, unknown), store.ErrNotFound)
	f.wantErr("void unknown", f.s.Void(f.ctx, unknown), store.ErrNotFound)
}

func usedLink(f *fixture) {
	o := f.offer("c", message(1), person(1))
	f.mustOffer(o)
	r, err := f.s.OptIn(f.ctx, o.Token, f.consent())
	f.must("opt in", err)
	if r.State != store.OptedIn || !r.Counted {
		f.t.Errorf("got %s, counted %v", r.State, r.Counted)
	}
	f.must("late confirm", f.s.Confirm(f.ctx, o.Token))
	f.wantState(o, store.OptedIn)
	f.must("late void", f.s.Void(f.ctx, o.Token))
	f.wantState(o, store.OptedIn)
	f.wantCredits("c", 1, 0, 0)
}

func optIn(f *fixture) {
	o := f.sent("c", message(1), person(1))
	f.clock.add(time.Hour)
	c := f.consent()
	returned, err := f.s.OptIn(f.ctx, o.Token, c)
	f.must("opt in", err)
	c.Profile[0] = 77 // the store must have its own copy
	kept := f.lookup(o.Token)
	for name, r := range map[string]store.Referral{"returned": returned, "kept": kept} {
		if r.State != store.OptedIn || !r.Counted || !r.OptedInAt.Equal(store.Clock(start.Add(time.Hour))) || r.Consent == nil {
			f.t.Fatalf("%s: state %s, counted %v, at %v, consent %v", name, r.State, r.Counted, r.OptedInAt, r.Consent != nil)
		}
		if r.Consent.TextID != "optin-ja-1" || r.Consent.TextSHA256 != "ab12" || r.Consent.Locale != "ja" ||
			r.Consent.Method != "typed_address" || !r.Consent.TellBack || r.Consent.JobNews {
			f.t.Errorf("%s: another consent", name)
		}
	}
	if !bytes.Equal(kept.Consent.Profile, []byte{0, 1, 2, 255}) {
		f.t.Errorf("profile: got %v", kept.Consent.Profile)
	}
}

func optInTwice(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	f.clock.add(time.Hour)
	second := f.consent()
	second.TextID = "another"
	r, err := f.s.OptIn(f.ctx, o.Token, second)
	f.must("opt in again", err)
	if r.Consent.TextID != "optin-ja-1" || !r.OptedInAt.Equal(store.Clock(start)) {
		f.t.Error("the first consent was replaced")
	}
	f.wantCredits("c", 1, 0, 0)
	if n := f.counts("c").OptedIn; n != 1 {
		f.t.Errorf("opted in counted %d times", n)
	}
}

func tenMakeOneCredit(f *fixture) {
	for i := range 9 {
		f.optedIn("c", message(i), person(i))
	}
	f.wantCredits("c", 9, 0, 0)
	got, err := f.s.Redeem(f.ctx, "c", "too early")
	f.wantErr("redeem with nine", err, store.ErrNoCredit)
	if got != (store.Introduction{}) {
		f.t.Errorf("refused, but redeemed %+v", got)
	}
	f.optedIn("c", message(10), person(10))
	f.wantCredits("c", 10, 1, 0)
	f.optedIn("c", message(11), person(11))
	f.wantCredits("c", 11, 1, 0)
	got, err = f.s.Redeem(f.ctx, "c", "山田様のご紹介")
	f.must("redeem", err)
	if now := store.Clock(f.clock.now()); got != (store.Introduction{Company: "c", Number: 1, State: store.EntryReserve,
		Note: "山田様のご紹介", ReservedAt: now, ChangedAt: now}) {
		f.t.Errorf("redeemed: %+v", got)
	}
	f.wantCredits("c", 11, 1, 1)
	_, err = f.s.Redeem(f.ctx, "c", "again")
	f.wantErr("redeem twice", err, store.ErrNoCredit)
	for i := range 9 {
		f.optedIn("c", message(100+i), person(100+i))
	}
	f.wantCredits("c", 20, 2, 1)
}

func oncePerPerson(f *fixture) {
	a, b := f.offer("c", message(1), person(1)), f.offer("c", message(2), "  CANDIDATE1@Example.org ")
	f.mustOffer(a)
	f.mustOffer(b)
	for _, o := range []store.Offer{a, b} {
		_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
		f.must("opt in", err)
	}
	f.wantCredits("c", 1, 0, 0)
	if n := f.counts("c").OptedIn; n != 1 {
		f.t.Errorf("opted in: got %d, want 1", n)
	}
}

func twoCompanies(f *fixture) {
	a, b := f.optedIn("a", message(1), person(1)), f.optedIn("ab", message(1), person(1))
	if f.lookup(a.Token).Person == f.lookup(b.Token).Person {
		f.t.Error("two companies know the person under one hash")
	}
	f.must("opt out", f.s.OptOut(f.ctx, a.Token))
	f.wantCredits("a", 1, 0, 0)
	f.wantCredits("ab", 1, 0, 0)
	if f.lookup(b.Token).OptedOut {
		f.t.Error("the opt-out reached another company")
	}
	f.wantCredits("unknown", 0, 0, 0)
}

func testMode(f *fixture) {
	for i := range 10 {
		o := f.offer("c", message(i), person(i))
		o.Test = true
		f.mustOffer(o)
		f.must("confirm", f.s.Confirm(f.ctx, o.Token))
		f.must("view", f.s.View(f.ctx, o.Token, false))
		r, err := f.s.OptIn(f.ctx, o.Token, f.consent())
		f.must("opt in", err)
		if !r.Test || r.Counted {
			f.t.Errorf("test %v, counted %v", r.Test, r.Counted)
		}
	}
	if got := f.counts("c"); got != (store.Counts{Company: "c"}) {
		f.t.Errorf("test mode was counted: %+v", got)
	}
	// A trial run does not use up the one offer to a person.
	f.optedIn("c", message(100), person(1))
	f.wantCredits("c", 1, 0, 0)
}

func optOutAndBack(f *fixture) {
	o := f.sent("c", message(1), person(1))
	for range 2 {
		f.must("opt out", f.s.OptOut(f.ctx, o.Token))
	}
	if !f.lookup(o.Token).OptedOut {
		f.t.Error("the referral does not say so")
	}
	for i := range 2 { // the same message and another one
		_, err := f.s.Offer(f.ctx, f.offer("c", message(1+i), person(1)))
		f.wantErr("offer after opt-out", err, store.ErrSuppressed)
	}
	if n := f.counts("c").OptedOut; n != 1 {
		f.t.Errorf("opted out: got %d, want 1", n)
	}
	f.clock.add(10 * 365 * 24 * time.Hour)
	_, err := f.s.Offer(f.ctx, f.offer("c", message(3), person(1)))
	f.wantErr("offer ten years later", err, store.ErrSuppressed)
	for range 2 {
		f.must("opt back", f.s.OptBack(f.ctx, o.Token))
	}
	f.mustOffer(o)
	if n := f.counts("c").OptedOut; n != 0 {
		f.t.Errorf("opted out after opt back: got %d, want 0", n)
	}
}

func expiry(f *fixture) {
	o := f.sent("c", message(1), person(1))
	used := f.optedIn("c", message(2), person(2))
	f.clock.add(store.DefaultLinkLife - time.Second)
	f.wantState(o, store.Sent)
	f.clock.add(time.Second)
	_, err := f.s.Lookup(f.ctx, o.Token)
	f.wantErr("look up", err, store.ErrExpired)
	_, err = f.s.OptIn(f.ctx, o.Token, f.consent())
	f.wantErr("opt in", err, store.ErrExpired)
	f.must("opt out of an expired link", f.s.OptOut(f.ctx, o.Token))
	f.wantState(used, store.OptedIn)
	f.wantCredits("c", 1, 0, 0)
}

func views(f *fixture) {
	o := f.sent("c", message(1), person(1))
	for _, machine := range []bool{true, true, false, true, false} {
		f.must("view", f.s.View(f.ctx, o.Token, machine))
	}
	r := f.lookup(o.Token)
	if r.Human != 2 || r.Machine != 3 || r.State != store.Sent {
		f.t.Errorf("got %d human, %d machine, state %s", r.Human, r.Machine, r.State)
	}
	f.wantCredits("c", 0, 0, 0)
	// The report counts referrals that were opened, not openings.
	if c := f.counts("c"); c.OpenedHuman != 1 || c.OpenedMachine != 1 {
		f.t.Errorf("report: %d human, %d machine", c.OpenedHuman, c.OpenedMachine)
	}
}

func report(f *fixture) {
	rows, err := f.s.Report(f.ctx, "")
	f.must("report", err)
	if len(rows) != 0 {
		f.t.Errorf("empty store reports %d companies", len(rows))
	}
	f.must("add", f.s.Add(f.ctx, "b", "", store.Traffic{Seen: 100, Matched: 7, Near: 3, Inserted: 5}))
	f.must("add", f.s.Add(f.ctx, "b", "", store.Traffic{Seen: 1}))
	f.must("add", f.s.Add(f.ctx, "a", "", store.Traffic{Seen: 2}))
	f.optedIn("b", message(1), person(1))
	f.sent("b", message(2), person(2))
	f.mustOffer(f.offer("b", message(3), person(3)))
	rows, err = f.s.Report(f.ctx, "")
	f.must("report", err)
	want := []store.Counts{
		{Company: "a", Traffic: store.Traffic{Seen: 2}},
		{Company: "b", Traffic: store.Traffic{Seen: 101, Matched: 7, Near: 3, Inserted: 5}, Sent: 2, OptedIn: 1, Credits: store.Credits{Counted: 1}},
	}
	if !slices.Equal(rows, want) {
		f.t.Errorf("report:\ngot  %+v\nwant %+v", rows, want)
	}
	if got := f.counts("b"); got != want[1] {
		f.t.Errorf("report of one: %+v", got)
	}
	if got := f.counts("nobody"); got != (store.Counts{Company: "nobody"}) {
		f.t.Errorf("report of an unknown company: %+v", got)
	}
}

func times(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	want := time.Date(2026, 4, 1, 0, 30, 15, 123456000, time.UTC)
	r := f.lookup(o.Token)
	for name, got := range map[string]time.Time{"OfferedAt": r.OfferedAt, "SentAt": r.SentAt, "OptedInAt": r.OptedInAt, "Consent.At": r.Consent.At} {
		if got != want { // same location and no monotonic reading, too
			f.t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func badInput(f *fixture) {
	good := f.offer("c", message(1), person(1))
	for name, spoil := range map[string]func(*store.Offer){
		"no company": func(o *store.Offer) { o.Company = "" },
		"no token":   func(o *store.Offer) { o.Token = "" },
		"no key":     func(o *store.Offer) { o.Key = "" },
		"no person":  func(o *store.Offer) { o.Person = "" },
		"NUL":        func(o *store.Offer) { o.Company = "c\x00d" },
	} {
		o := good
		spoil(&o)
		if _, err := f.s.Offer(f.ctx, o); err == nil || errors.Is(err, store.ErrUnavailable) {
			f.t.Errorf("offer with %s: got error %v", name, err)
		}
	}
	if err := f.s.Add(f.ctx, "", "", store.Traffic{Seen: 1}); err == nil {
		f.t.Error("add without company: no error")
	}
	if _, err := f.s.Redeem(f.ctx, "nobody", ""); !errors.Is(err, store.ErrNoCredit) {
		f.t.Errorf("redeem for nobody: got %v", err)
	}
	if _, err := f.s.Lookup(f.ctx, ""); !errors.Is(err, store.ErrNotFound) {
		f.t.Errorf("look up nothing: got %v", err)
	}
	rows, err := f.s.Report(f.ctx, "")
	if err != nil || len(rows) != 0 {
		f.t.Errorf("bad input left %d companies behind, %v", len(rows), err)
	}
	f.mustOffer(good)
}

func cancelled(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	o := f.offer("c", message(1), person(1))
	_, err := f.s.Offer(ctx, o)
	f.wantErr("offer", err, context.Canceled)
	_, err = f.s.Lookup(f.ctx, o.Token)
	f.wantErr("look up what was cancelled", err, store.ErrNotFound)
	f.mustOffer(o)
	f.wantErr("confirm", f.s.Confirm(ctx, o.Token), context.Canceled)
	_, err = f.s.OptIn(ctx, o.Token, f.consent())
	f.wantErr("opt in", err, context.Canceled)
	_, err = f.s.Lookup(ctx, o.Token)
	f.wantErr("look up", err, context.Canceled)
	_, err = f.s.Report(ctx, "")
	f.wantErr("report", err, context.Canceled)
	f.wantErr("ping", f.s.Ping(ctx), context.Canceled)
	f.wantState(o, store.Offered)
}

func reopening(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	for i := range 9 {
		f.optedIn("c", message(10+i), person(10+i))
	}
	_, err := f.s.Redeem(f.ctx, "c", "one")
	f.must("redeem", err)
	out := f.sent("c", message(2), person(2))
	f.must("opt out", f.s.OptOut(f.ctx, out.Token))
	before, counts := f.lookup(o.Token), f.counts("c")
	f.reopen()
	after := f.lookup(o.Token)
	if after.ID != before.ID || after.State != store.OptedIn || !bytes.Equal(after.Consent.Profile, before.Consent.Profile) {
		f.t.Error("the referral is not what it was")
	}
	if got := f.counts("c"); got != counts {
		f.t.Errorf("report: got %+v, want %+v", got, counts)
	}
	_, err = f.s.Offer(f.ctx, out)
	f.wantErr("offer after opt-out", err, store.ErrSuppressed)
	if again := f.mustOffer(o); again.ID != before.ID {
		f.t.Error("retry after reopening made another referral")
	}
	f.reopen()
	f.clock.add(-time.Hour) // the clock was set back meanwhile
	if next := f.mustOffer(f.offer("c", message(3), person(3))); next.ID <= f.id(out) {
		f.t.Error("ids do not go on")
	}
}

func closedStore(f *fixture) {
	o := f.sent("c", message(1), person(1))
	f.close()
	_, err := f.s.Offer(f.ctx, o)
	f.wantErr("offer", err, store.ErrUnavailable)
	_, err = f.s.Lookup(f.ctx, o.Token)
	f.wantErr("look up", err, store.ErrUnavailable)
	f.wantErr("ping", f.s.Ping(f.ctx), store.ErrUnavailable)
	f.must("close again", f.s.Close())
}

// together runs n functions at once and waits for all.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-gate
			do(i)
		})
	}
	close(gate)
	wg.Wait()
}

func concurrentOffers(f *fixture) {
	o := f.offer("c", message(1), person(1))
	ids := make([]string, 32)
	together(len(ids), func(i int) {
		r, err := f.s.Offer(f.ctx, o)
		if err != nil {
			f.t.Errorf("offer: %v", err)
		}
		ids[i] = r.ID
	})
	if slices.Sort(ids); ids[0] == "" || ids[0] != ids[len(ids)-1] {
		f.t.Errorf("one message made several referrals: %v", slices.Compact(ids))
	}
}

func concurrentOptIns(f *fixture) {
	for i := range 9 {
		f.optedIn("c", message(i), person(i))
	}
	o := f.sent("c", message(10), person(10))
	together(32, func(int) {
		if r, err := f.s.OptIn(f.ctx, o.Token, f.consent()); err != nil || !r.Counted {
			f.t.Errorf("opt in: counted %v, %v", r.Counted, err)
		}
	})
	f.wantCredits("c", 10, 1, 0)
}

func lastCredit(f *fixture) {
	for i := range 20 {
		f.optedIn("c", message(i), person(i))
	}
	_, err := f.s.Redeem(f.ctx, "c", "first")
	f.must("redeem", err)
	var won, lost atomic.Int64
	together(16, func(int) {
		switch _, err := f.s.Redeem(f.ctx, "c", "last"); {
		case err == nil:
			won.Add(1)
		case errors.Is(err, store.ErrNoCredit):
			lost.Add(1)
		default:
			f.t.Errorf("redeem: %v", err)
		}
	})
	if won.Load() != 1 || lost.Load() != 15 {
		f.t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
	f.wantCredits("c", 20, 2, 2)
}

func idOrder(f *fixture) {
	var ids []string
	for i := range 50 {
		ids = append(ids, f.mustOffer(f.offer("c", message(i), person(i))).ID)
		f.clock.add(time.Duration(i%3) * time.Millisecond)
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 50 {
		f.t.Error("ids do not rise")
	}
}
