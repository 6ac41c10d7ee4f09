package storetest

import (
	"bytes"
	"errors"
	"fmt"
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

func introduction(f *fixture) {
	for i := range 20 {
		f.optedIn("c", message(i), person(i))
	}
	for range 2 {
		_, err := f.s.Redeem(f.ctx, "c", "営業職")
		f.must("redeem", err)
	}
	_, err := f.s.Redeem(f.ctx, "c", "")
	f.wantErr("third", err, store.ErrNoCredit)
	f.clock.add(time.Hour)
	for _, step := range []store.EntryKind{store.EntryIntroduce, store.EntryHire, store.EntryClose} {
		_, err := f.s.Advance(f.ctx, "c", 1, step, "")
		f.must(string(step), err)
	}
	_, err = f.s.Advance(f.ctx, "c", 1, store.EntryReturn, "")
	f.wantErr("return a closed one", err, store.ErrWrongState)
	_, err = f.s.Advance(f.ctx, "c", 2, store.EntryHire, "")
	f.wantErr("hire before introducing", err, store.ErrWrongState)
	_, err = f.s.Advance(f.ctx, "c", 2, store.EntryReturn, "候補者なし")
	f.must("return", err)
	f.wantCredits("c", 20, 2, 1)
	_, err = f.s.Redeem(f.ctx, "c", "again")
	f.must("redeem the returned one", err)
	_, err = f.s.Advance(f.ctx, "c", 4, store.EntryIntroduce, "")
	f.wantErr("unknown number", err, store.ErrNotFound)
	list, err := f.s.Introductions(f.ctx, "c")
	f.must("list", err)
	var got []string
	for _, i := range list {
		got = append(got, fmt.Sprint(i.Number, " ", i.State, " ", i.Note, " ", i.ChangedAt.Equal(i.ReservedAt)))
	}
	want := []string{"1 close 営業職 false", "2 return 営業職 false", "3 reserve again true"}
	if !slices.Equal(got, want) {
		f.t.Errorf("introductions: got %q, want %q", got, want)
	}
}

func agencyStates(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	id := f.id(o)
	_, err := f.s.SetAgencyState(f.ctx, id, store.Contacted)
	f.wantErr("before the hand-over", err, store.ErrWrongState)
	f.deliverAll()
	for _, a := range []store.AgencyState{store.Contacted, store.Introduced, store.Hired, store.Hired} {
		r, err := f.s.SetAgencyState(f.ctx, id, a)
		f.must(string(a), err)
		if r.Agency != a {
			f.t.Errorf("got %s, want %s", r.Agency, a)
		}
	}
	if c := f.counts("c"); c.HandedOver != 1 || c.Introduced != 1 || c.Hired != 1 {
		f.t.Errorf("got %+v", c)
	}
	_, err = f.s.SetAgencyState(f.ctx, id, store.Contacted) // a correction
	f.must("correct", err)
	if c := f.counts("c"); c.Introduced != 0 || c.Hired != 0 {
		f.t.Errorf("after the correction: %+v", c)
	}
	_, err = f.s.SetAgencyState(f.ctx, id, "married")
	f.wantErr("unknown state", err, store.ErrWrongState)
}

var receiver = store.Receiver{Name: "株式会社エージェント", Address: "東京都千代田区1-1", Fields: []string{"name", "mail"}, Ack: "ack-1"}

// deliverAll acts as the sender for everything that is due.
func (f *fixture) deliverAll() (events []store.Event) {
	f.t.Helper()
	due, err := f.s.Claim(f.ctx, 100, time.Minute)
	f.must("claim", err)
	for _, d := range due {
		f.must("delivered", f.s.Delivered(f.ctx, d.ID, receiver))
		events = append(events, d.Event)
	}
	return events
}

func books(f *fixture) {
	for i := range 11 {
		f.optedIn("c", message(i), person(i))
	}
	f.optedIn("other", message(1), person(1))
	entries, err := f.s.Entries(f.ctx, "c", 0, 1000)
	f.must("read ledger", err)
	if len(entries) != 12 || entries[10].Kind != store.EntryEarn || len(entries[10].Rows) != 10 {
		f.t.Fatalf("got %d lines", len(entries))
	}
	prev := ""
	for i, e := range entries {
		if e.Seq != int64(i+1) || e.Prev != prev || e.Hash != e.Sum() || e.Company != "c" {
			f.t.Errorf("line %d is not chained", i+1)
		}
		prev = e.Hash
	}
	tail, err := f.s.Entries(f.ctx, "c", 9, 2)
	f.must("read a page", err)
	if len(tail) != 2 || tail[0].Seq != 10 {
		f.t.Errorf("page: %d lines", len(tail))
	}
	records := f.records("c")
	if len(records) != 11 || records[0].Kind != store.RecordConsent || records[0].TextSHA256 != "ab12" || records[10].Hash != records[10].Sum() {
		f.t.Errorf("got %d records", len(records))
	}
	rep := f.audit()
	if len(rep.Companies) != 2 || rep.Companies[0].Head != prev || rep.Companies[0].Earned != 1 || rep.Referrals != 12 {
		f.t.Errorf("audit: %+v", rep)
	}
}

func months(f *fixture) {
	f.must("add", f.s.Add(f.ctx, "c", store.Traffic{Seen: 5}))
	o := f.sent("c", message(1), person(1))
	f.clock.add(31 * day)
	_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
	f.must("opt in", err)
	f.sent("cc", message(1), person(1))
	got, err := f.s.Months(f.ctx, "c")
	f.must("months", err)
	want := []store.Month{
		{Month: "2026-04", Counts: store.Counts{Company: "c", Traffic: store.Traffic{Seen: 5}}},
		{Month: "2026-04", Rule: "ja.oinori", Counts: store.Counts{Company: "c", Sent: 1}},
		{Month: "2026-05", Rule: "ja.oinori", Counts: store.Counts{Company: "c", OptedIn: 1}},
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func retention(f *fixture) {
	unused, used := f.sent("c", message(1), person(1)), f.optedIn("c", message(2), person(2))
	withdrawn, void := f.optedIn("c", message(3), person(3)), f.offer("c", message(4), person(4))
	f.mustOffer(void)
	f.must("void", f.s.Void(f.ctx, void.Token))
	f.deliverAll()
	f.clock.add(store.DefaultCooling)
	usedID, withdrawnID := f.id(used), f.id(withdrawn)
	_, err := f.s.Withdraw(f.ctx, withdrawnID)
	f.must("withdraw", err)

	f.wantPurged(store.Purged{})
	f.clock.add(30*day - store.DefaultCooling)
	f.wantPurged(store.Purged{Profiles: 1})
	if f.lookup(used.Token).Consent.Profile != nil {
		f.t.Error("the profile is still there")
	}
	f.clock.add(store.DefaultCooling)
	f.wantPurged(store.Purged{Anonymised: 1})
	if r := f.byID(withdrawnID); r.Person != "" || !r.Counted {
		f.t.Errorf("withdrawn: person %q, counted %v", r.Person, r.Counted)
	}
	f.clock.add(store.DefaultLinkLife - 37*day)
	f.wantPurged(store.Purged{Expired: 1})
	_, err = f.s.Lookup(f.ctx, unused.Token)
	f.wantErr("look up", err, store.ErrExpired)
	f.clock.add(30 * day)
	f.wantPurged(store.Purged{Unused: 2})
	_, err = f.s.Lookup(f.ctx, unused.Token)
	f.wantErr("look up", err, store.ErrNotFound)
	f.mustOffer(f.offer("c", message(9), person(1))) // nothing is known of this person any more
	f.wantPurged(store.Purged{})
	if r := f.byID(usedID); r.State != store.OptedIn {
		f.t.Errorf("used: %s", r.State)
	}
	if c := f.counts("c"); c.Purged != 2 || c.Sent != 3 || c.Counted != 2 {
		f.t.Errorf("counts: %+v", c)
	}
}

func (f *fixture) wantPurged(want store.Purged) {
	f.t.Helper()
	got, err := f.s.Purge(f.ctx, store.Retention{})
	f.must("purge", err)
	if got != want {
		f.t.Errorf("purged %+v, want %+v", got, want)
	}
}

func retentionOfRecords(f *fixture) {
	_, err := f.s.Purge(f.ctx, store.Retention{Records: 2 * 366 * day})
	f.wantErr("two years", err, store.ErrRetention)
	f.optedIn("c", message(1), person(1))
	f.clock.add(2 * 366 * day)
	f.optedIn("c", message(2), person(2))
	f.clock.add(366*day + time.Second)
	got, err := f.s.Purge(f.ctx, store.Retention{Records: store.MinRecords})
	f.must("purge", err)
	if got.Records != 1 {
		f.t.Errorf("deleted %d records", got.Records)
	}
	if r := f.records("c"); len(r) != 1 || r[0].Seq != 2 {
		f.t.Errorf("%d records left", len(r))
	}
	f.optedIn("c", message(3), person(3)) // the chain goes on
	f.audit()
	f.wantCredits("c", 3, 0, 0)
}

func outbox(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	f.optedIn("c", message(2), person(2))
	trial := f.offer("c", message(3), person(3))
	trial.Test = true
	f.mustOffer(trial)
	_, err := f.s.OptIn(f.ctx, trial.Token, f.consent())
	f.must("opt in", err)

	due, err := f.s.Claim(f.ctx, 1, time.Minute)
	f.must("claim", err)
	if len(due) != 1 || due[0].Event != store.EventOptedIn || due[0].Referral != f.id(o) || due[0].Attempts != 1 || due[0].Company != "c" {
		f.t.Fatalf("claimed %+v", due)
	}
	second, err := f.s.Claim(f.ctx, 10, time.Minute)
	f.must("claim", err)
	if len(second) != 1 || second[0].ID <= due[0].ID {
		f.t.Fatalf("claimed %+v while the first was leased", second)
	}
	f.must("delivered", f.s.Delivered(f.ctx, due[0].ID, receiver))
	f.wantErr("delivered twice", f.s.Delivered(f.ctx, due[0].ID, receiver), store.ErrNotFound)
	if f.lookup(o.Token).HandedOverAt.IsZero() || f.counts("c").HandedOver != 1 {
		f.t.Error("the hand-over is not marked")
	}
	r := f.records("c")
	last := r[len(r)-1]
	if last.Kind != store.RecordProvision || last.Receiver.Name != receiver.Name || !slices.Equal(last.Receiver.Fields, receiver.Fields) ||
		last.Receiver.Ack != "ack-1" || last.TextID != "optin-ja-1" || last.Person != o.Person {
		f.t.Errorf("record of provision: %+v", last)
	}

	// The second sender dies: its lease ends. Then it fails, and fails for good.
	f.clock.add(time.Minute)
	again, err := f.s.Claim(f.ctx, 10, time.Minute)
	f.must("claim after the lease", err)
	if len(again) != 1 || again[0].ID != second[0].ID || again[0].Attempts != 2 {
		f.t.Fatalf("claimed %+v", again)
	}
	f.must("failed", f.s.Failed(f.ctx, again[0].ID, "503", f.clock.now().Add(time.Hour)))
	f.reopen()
	f.clock.add(time.Hour - time.Second)
	if none, err := f.s.Claim(f.ctx, 10, time.Minute); err != nil || len(none) != 0 {
		f.t.Errorf("claimed %d before its time, %v", len(none), err)
	}
	f.clock.add(time.Second)
	again, err = f.s.Claim(f.ctx, 10, time.Minute)
	f.must("claim", err)
	if len(again) != 1 {
		f.t.Fatalf("claimed %d", len(again))
	}
	f.must("failed for good", f.s.Failed(f.ctx, again[0].ID, "410", time.Time{}))
	f.clock.add(100 * day)
	if none, err := f.s.Claim(f.ctx, 10, time.Minute); err != nil || len(none) != 0 {
		f.t.Errorf("claimed a dead letter, %v", err)
	}
	list, err := f.s.Deliveries(f.ctx)
	f.must("list", err)
	if len(list) != 1 || !list[0].Dead || list[0].Error != "410" {
		f.t.Errorf("dead letters: %+v", list)
	}
	f.must("requeue", f.s.Requeue(f.ctx, list[0].ID))
	if got := f.deliverAll(); !slices.Equal(got, []store.Event{store.EventOptedIn}) {
		f.t.Errorf("delivered %v", got)
	}
}

func outboxRecall(f *fixture) {
	untried := f.optedIn("c", message(1), person(1))
	_, err := f.s.Withdraw(f.ctx, f.id(untried))
	f.must("withdraw", err)
	if list, err := f.s.Deliveries(f.ctx); err != nil || len(list) != 0 {
		f.t.Errorf("nothing was tried, but the agency is told: %+v, %v", list, err)
	}

	tried := f.optedIn("c", message(2), person(2))
	due, err := f.s.Claim(f.ctx, 1, time.Minute)
	f.must("claim", err)
	_, err = f.s.Withdraw(f.ctx, f.id(tried))
	f.must("withdraw", err)
	f.wantErr("requeue after the withdrawal", f.s.Requeue(f.ctx, due[0].ID), store.ErrWrongState)
	f.must("late acknowledgement", f.s.Delivered(f.ctx, due[0].ID, receiver))
	if r := f.records("c"); r[len(r)-1].Kind != store.RecordProvision {
		f.t.Error("the late hand-over left no record")
	}
	if got := f.deliverAll(); !slices.Equal(got, []store.Event{store.EventWithdrawn}) {
		f.t.Errorf("delivered %v", got)
	}

	given := f.optedIn("c", message(3), person(3))
	f.deliverAll()
	_, err = f.s.Erase(f.ctx, f.id(given))
	f.must("erase", err)
	if got := f.deliverAll(); !slices.Equal(got, []store.Event{store.EventErased}) {
		f.t.Errorf("delivered %v", got)
	}
}

func noOutbox(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	_, err := f.s.Erase(f.ctx, f.id(o))
	f.must("erase", err)
	if list, err := f.s.Deliveries(f.ctx); err != nil || len(list) != 0 {
		f.t.Errorf("got %+v, %v", list, err)
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
