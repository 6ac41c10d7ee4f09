package storetest

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

const day = 24 * time.Hour

func (f *fixture) id(o store.Offer) string {
	f.t.Helper()
	return f.lookup(o.Token).ID
}

func (f *fixture) byID(id string) store.Referral {
	f.t.Helper()
	r, err := f.s.Referral(f.ctx, id)
	f.must("get referral", err)
	return r
}

// kinds are the kinds of a company's ledger lines or consent records.
func (f *fixture) entryKinds(company string) (kinds []store.EntryKind) {
	f.t.Helper()
	entries, err := f.s.Entries(f.ctx, company, 0, 1000)
	f.must("read ledger", err)
	for _, e := range entries {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (f *fixture) records(company string) []store.Record {
	f.t.Helper()
	records, err := f.s.Records(f.ctx, company, 0, 1000)
	f.must("read consent book", err)
	return records
}

func withdraw(f *fixture) {
	early, late := f.optedIn("c", message(1), person(1)), f.optedIn("c", message(2), person(2))
	f.wantCredits("c", 2, 0, 0)
	f.clock.add(store.DefaultCooling - time.Second)
	for range 2 { // repeating is no error
		r, err := f.s.Withdraw(f.ctx, f.id(early))
		f.must("withdraw", err)
		if r.State != store.Withdrawn || r.Counted || r.Consent == nil || r.Consent.Profile != nil || r.Consent.TextID == "" ||
			!r.WithdrawnAt.Equal(store.Clock(f.clock.now())) {
			f.t.Errorf("withdrawn: %s, counted %v, consent %v", r.State, r.Counted, r.Consent != nil)
		}
	}
	f.wantCredits("c", 1, 0, 0)
	f.clock.add(time.Second)
	r, err := f.s.Withdraw(f.ctx, f.id(late))
	f.must("withdraw late", err)
	if !r.Counted {
		f.t.Error("a late withdrawal reversed the count")
	}
	f.wantCredits("c", 1, 0, 0)
	if n := f.counts("c").Withdrawn; n != 2 {
		f.t.Errorf("withdrawn counted %d times", n)
	}
	for _, o := range []store.Offer{early, late} {
		_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
		f.must("consent anew", err)
	}
	f.wantCredits("c", 2, 0, 0)
	never := f.sent("c", message(3), person(3))
	_, err = f.s.Withdraw(f.ctx, f.id(never))
	f.wantErr("withdraw without consent", err, store.ErrWrongState)
}

func reverseUsedCredit(f *fixture) {
	var first store.Offer
	for i := range 10 {
		o := f.optedIn("c", message(i), person(i))
		if i == 0 {
			first = o
		}
	}
	_, err := f.s.Redeem(f.ctx, "c", "used")
	f.must("redeem", err)
	_, err = f.s.Withdraw(f.ctx, f.id(first))
	f.must("withdraw", err)
	f.wantCredits("c", 9, 0, 1) // the used introduction stays used
	for i := range 10 {
		f.optedIn("c", message(100+i), person(100+i))
	}
	f.wantCredits("c", 19, 1, 1)
	_, err = f.s.Redeem(f.ctx, "c", "not yet")
	f.wantErr("redeem before the debt is made good", err, store.ErrNoCredit)
	f.optedIn("c", message(200), person(200))
	_, err = f.s.Redeem(f.ctx, "c", "second")
	f.must("redeem", err)
	want := slices.Concat(slices.Repeat([]store.EntryKind{store.EntryCount}, 10),
		[]store.EntryKind{store.EntryEarn, store.EntryReserve, store.EntryReverse, store.EntryUnearn, store.EntryCount, store.EntryEarn},
		slices.Repeat([]store.EntryKind{store.EntryCount}, 10), []store.EntryKind{store.EntryEarn, store.EntryReserve})
	if got := f.entryKinds("c"); !slices.Equal(got, want) {
		f.t.Errorf("ledger:\ngot  %v\nwant %v", got, want)
	}
}

func erase(f *fixture) {
	early, late, unused := f.optedIn("c", message(1), person(1)), f.optedIn("c", message(2), person(2)), f.sent("c", message(3), person(3))
	ids := []string{f.id(early), f.id(late), f.id(unused)}
	_, err := f.s.Erase(f.ctx, ids[0])
	f.must("erase early", err)
	f.clock.add(store.DefaultCooling)
	for _, id := range ids {
		for range 2 {
			_, err := f.s.Erase(f.ctx, id)
			f.must("erase", err)
		}
	}
	f.wantCredits("c", 1, 0, 0) // early reversed, late stays, unused never counted
	for i, o := range []store.Offer{early, late, unused} {
		r := f.byID(ids[i])
		if r.State != store.Erased || r.Person != "" || r.Consent != nil || r.Company != "c" || r.OfferedAt.IsZero() {
			f.t.Errorf("row %d: %s, person %q, consent %v", i, r.State, r.Person, r.Consent != nil)
		}
		_, err := f.s.Lookup(f.ctx, o.Token)
		f.wantErr("look up", err, store.ErrNotFound)
		f.wantErr("opt out", f.s.OptOut(f.ctx, o.Token), store.ErrNotFound)
		for _, m := range []string{message(i + 1), message(50)} {
			_, err = f.s.Offer(f.ctx, f.offer("c", m, person(i+1)))
			f.wantErr("offer after erasure", err, store.ErrOffered)
		}
	}
	f.reopen()
	f.wantCredits("c", 1, 0, 0)
}

func setProfile(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	id, was := f.id(o), []byte{0, 1, 2, 255}
	f.must("set", f.s.SetProfile(f.ctx, id, was, []byte("new")))
	f.wantErr("set what was changed meanwhile", f.s.SetProfile(f.ctx, id, was, []byte("other")), store.ErrWrongState)
	if got := f.lookup(o.Token).Consent.Profile; !bytes.Equal(got, []byte("new")) {
		f.t.Errorf("profile %q", got)
	}
	_, err := f.s.Withdraw(f.ctx, id)
	f.must("withdraw", err)
	f.wantErr("set after withdrawal", f.s.SetProfile(f.ctx, id, nil, []byte("x")), store.ErrWrongState)
}

func suppress(f *fixture) {
	o := f.offer("c", message(1), person(1))
	for range 2 {
		f.must("suppress", f.s.Suppress(f.ctx, "c", o.Person))
	}
	_, err := f.s.Offer(f.ctx, o)
	f.wantErr("offer", err, store.ErrSuppressed)
	other := f.sent("c", message(2), person(2))
	f.must("suppress", f.s.Suppress(f.ctx, "c", other.Person))
	if !f.lookup(other.Token).OptedOut {
		f.t.Error("the referral does not know")
	}
	if n := f.counts("c").OptedOut; n != 2 {
		f.t.Errorf("opted out: %d", n)
	}
	f.must("opt back by link", f.s.OptBack(f.ctx, other.Token))
	for range 2 {
		f.must("unsuppress", f.s.Unsuppress(f.ctx, "c", o.Person))
	}
	f.mustOffer(o)
	if n := f.counts("c").OptedOut; n != 0 {
		f.t.Errorf("opted out: %d", n)
	}
	if f.s.Suppress(f.ctx, "", "p") == nil {
		f.t.Error("no company: no error")
	}
}

func pages(f *fixture) {
	var all, in []string
	for i := range 25 {
		company := []string{"a", "b"}[i%2]
		o := f.sent(company, message(i), person(i))
		all = append(all, f.id(o))
		if i%5 == 0 {
			_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
			f.must("opt in", err)
			if company == "a" {
				in = append(in, f.id(o))
			}
		}
	}
	if got := f.collect(store.Query{Limit: 4}); !slices.Equal(got, all) {
		f.t.Errorf("all: got %d of %d", len(got), len(all))
	}
	if got := f.collect(store.Query{Company: "a", State: store.OptedIn, Limit: 2}); !slices.Equal(got, in) {
		f.t.Errorf("opted in of a: got %v, want %v", got, in)
	}
	if got := f.collect(store.Query{Company: "nobody"}); got != nil {
		f.t.Errorf("nobody: got %v", got)
	}
}

func (f *fixture) collect(q store.Query) (ids []string) {
	f.t.Helper()
	for {
		page, err := f.s.Referrals(f.ctx, q)
		f.must("list", err)
		if len(page) == 0 {
			return ids
		}
		if len(page) > q.Size() {
			f.t.Fatalf("a page of %d, asked for %d", len(page), q.Size())
		}
		for _, r := range page {
			ids = append(ids, r.ID)
		}
		q.After = ids[len(ids)-1]
	}
}

func firstCompany(f *fixture) {
	optIn := func(company string, i int) store.Referral {
		f.t.Helper()
		o := f.sent(company, message(i), person(1))
		c := f.consent()
		c.Candidate = f.keys.Candidate(person(1))
		r, err := f.s.OptIn(f.ctx, o.Token, c)
		f.must("opt in", err)
		return r
	}
	a, b := optIn("a", 1), optIn("b", 2)
	if !a.Counted || b.Counted || b.State != store.OptedIn {
		f.t.Errorf("first counted %v, second %v", a.Counted, b.Counted)
	}
	f.wantCredits("b", 0, 0, 0)
	_, err := f.s.Withdraw(f.ctx, a.ID)
	f.must("withdraw", err)
	if c := optIn("c", 3); !c.Counted { // the first one's count was reversed
		f.t.Error("nobody has the count")
	}
	o := f.sent("d", message(4), person(4))
	if _, err := f.s.OptIn(f.ctx, o.Token, f.consent()); err == nil {
		f.t.Error("no candidate hash: no error")
	}
	f.wantState(o, store.Sent)
}

func unknownIDs(f *fixture) {
	for _, id := range []string{"", "x", "00", "0123456789abcdef01234567"} {
		for name, do := range map[string]func() error{
			"get":         func() error { _, err := f.s.Referral(f.ctx, id); return err },
			"withdraw":    func() error { _, err := f.s.Withdraw(f.ctx, id); return err },
			"erase":       func() error { _, err := f.s.Erase(f.ctx, id); return err },
			"set profile": func() error { return f.s.SetProfile(f.ctx, id, nil, nil) },
			"hand over":   func() error { _, err := f.s.HandOver(f.ctx, id, receiver); return err },
			"set state":   func() error { _, err := f.s.SetAgencyState(f.ctx, id, store.Hired); return err },
		} {
			if err := do(); !errors.Is(err, store.ErrNotFound) {
				f.t.Errorf("%s %q: got %v", name, id, err)
			}
		}
	}
	for name, err := range map[string]error{
		"delivered": f.s.Delivered(f.ctx, 9, receiver), "failed": f.s.Failed(f.ctx, 9, "", time.Time{}), "requeue": f.s.Requeue(f.ctx, 9),
	} {
		f.wantErr(name, err, store.ErrNotFound)
	}
}

func doubleOptIn(f *fixture) {
	o := f.sent("c", message(1), person(1))
	hold := func(until time.Duration) store.Token {
		f.t.Helper()
		code := store.NewToken()
		f.must("hold", f.s.Hold(f.ctx, store.Held{Code: code, Referral: f.id(o), Consent: f.consent(), Until: f.clock.now().Add(until)}))
		return code
	}
	late, code := hold(time.Hour), hold(48*time.Hour)
	f.wantState(o, store.Sent) // nothing happens before the confirmation
	f.wantCredits("c", 0, 0, 0)
	if list, err := f.s.Deliveries(f.ctx); err != nil || len(list) != 0 {
		f.t.Errorf("handed over before the confirmation: %d, %v", len(list), err)
	}
	f.reopen()
	f.clock.add(time.Hour)
	_, err := f.s.Release(f.ctx, late)
	f.wantErr("release too late", err, store.ErrExpired)
	_, err = f.s.Release(f.ctx, store.NewToken())
	f.wantErr("release an unknown code", err, store.ErrNotFound)
	_, err = f.s.Lookup(f.ctx, code)
	f.wantErr("a code is no link", err, store.ErrNotFound)
	for range 2 { // opening the link twice is no error
		r, err := f.s.Release(f.ctx, code)
		f.must("release", err)
		if r.State != store.OptedIn || !r.Counted || !bytes.Equal(r.Consent.Profile, []byte{0, 1, 2, 255}) ||
			!r.Consent.At.Equal(store.Clock(start)) {
			f.t.Errorf("released: %s, counted %v", r.State, r.Counted)
		}
	}
	f.wantCredits("c", 1, 0, 0)
	f.clock.add(time.Hour)
	other := hold(30 * 24 * time.Hour)
	_, err = f.s.Withdraw(f.ctx, f.id(o))
	f.must("withdraw", err)
	for _, c := range []store.Token{code, other} {
		_, err = f.s.Release(f.ctx, c)
		f.wantErr("release after the withdrawal", err, store.ErrNotFound)
	}
	hold(time.Minute)
	f.clock.add(time.Minute)
	f.wantPurged(store.Purged{Held: 1})
	f.wantErr("hold for nobody", f.s.Hold(f.ctx, store.Held{Code: code, Referral: "x", Until: f.clock.now()}), store.ErrNotFound)
}

func asked(f *fixture) {
	o := f.sent("c", message(1), person(1))
	again := f.offer("c", message(2), person(1))
	_, err := f.s.Offer(f.ctx, again)
	f.wantErr("another message", err, store.ErrOffered)
	f.must("opt out", f.s.OptOut(f.ctx, o.Token))
	again.Asked = true
	r := f.mustOffer(again)
	if r.ID != f.id(o) || r.State != store.Sent || !r.OptedOut {
		f.t.Errorf("asked: %v, opted out %v", r, r.OptedOut)
	}
	_, err = f.s.Offer(f.ctx, f.offer("c", message(3), person(1)))
	f.wantErr("a message after the opt-out", err, store.ErrSuppressed)
	f.clock.add(store.DefaultLinkLife)
	f.wantPurged(store.Purged{Expired: 1})
	third := f.offer("c", message(3), person(1))
	third.Asked = true
	if r := f.mustOffer(third); r.State != store.Offered {
		f.t.Errorf("asked after expiry: %s", r.State)
	}
	f.must("confirm", f.s.Confirm(f.ctx, third.Token))
	f.wantState(third, store.Sent)
	if n := f.counts("c").Sent; n != 1 {
		f.t.Errorf("sent: %d referrals", n)
	}
	_, err = f.s.OptIn(f.ctx, third.Token, f.consent())
	f.must("opt in", err)
	f.wantCredits("c", 1, 0, 0)

	stranger := f.offer("c", message(4), person(4))
	stranger.Asked = true
	f.must("suppress", f.s.Suppress(f.ctx, "c", stranger.Person))
	if r := f.mustOffer(stranger); !r.OptedOut {
		f.t.Error("the referral does not know of the opt-out")
	}
	var last error
	for i := range 100 { // asking cannot make a record grow without end
		o := f.offer("c", message(1000+i), person(4))
		o.Asked = true
		_, last = f.s.Offer(f.ctx, o)
	}
	f.wantErr("ask a hundred times", last, store.ErrOffered)
}

func askedAfterErasure(f *fixture) {
	counted, not := f.optedIn("c", message(1), person(1)), f.sent("c", message(2), person(2))
	f.clock.add(store.DefaultCooling)
	for _, o := range []store.Offer{counted, not} {
		_, err := f.s.Erase(f.ctx, f.id(o))
		f.must("erase", err)
	}
	f.wantCredits("c", 1, 0, 0)
	for i := range 2 {
		o := f.offer("c", message(10+i), person(1+i))
		o.Asked = true
		f.mustOffer(o)
		r, err := f.s.OptIn(f.ctx, o.Token, f.consent())
		f.must("opt in anew", err)
		if r.Counted != (i == 1) {
			f.t.Errorf("person %d: counted %v", 1+i, r.Counted)
		}
		_, err = f.s.Erase(f.ctx, r.ID)
		f.must("erase again", err)
	}
	f.wantCredits("c", 1, 0, 0) // the second one's count was reversed
	o := f.offer("c", message(20), person(1))
	o.Asked = true
	f.mustOffer(o)
	if r, err := f.s.OptIn(f.ctx, o.Token, f.consent()); err != nil || r.Counted {
		f.t.Errorf("third time: counted %v, %v", r.Counted, err)
	}
}

func foreignToken(f *fixture) {
	a := f.sent("c", message(1), person(1))
	b := f.offer("c", message(2), person(2))
	b.Token = a.Token
	if _, err := f.s.Offer(f.ctx, b); err == nil || errors.Is(err, store.ErrUnavailable) {
		f.t.Errorf("got %v", err)
	}
	f.wantState(a, store.Sent)
	b.Token = f.keys.Token("c", message(2), person(2))
	f.mustOffer(b)
}
