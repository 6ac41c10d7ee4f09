package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

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
	f.must("add", f.s.Add(f.ctx, "c", "", store.Traffic{Seen: 5}))
	f.must("add", f.s.Add(f.ctx, "c", "ja.oinori", store.Traffic{Matched: 2, Near: 4, Inserted: 1}))
	f.must("add", f.s.Add(f.ctx, "c", "ja.oinori", store.Traffic{Matched: 1}))
	o := f.sent("c", message(1), person(1))
	f.clock.add(31 * day)
	_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
	f.must("opt in", err)
	f.sent("cc", message(1), person(1))
	got, err := f.s.Months(f.ctx, "c")
	f.must("months", err)
	want := []store.Month{
		{Month: "2026-04", Counts: store.Counts{Company: "c", Traffic: store.Traffic{Seen: 5}}},
		{Month: "2026-04", Rule: "ja.oinori", Counts: store.Counts{Company: "c", Traffic: store.Traffic{Matched: 3, Near: 4, Inserted: 1}, Sent: 1}},
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
