package storetest

import (
	"bytes"
	"slices"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// changes: the agency learns of a correction when it may know what was corrected.
func changes(f *fixture) {
	o := f.optedIn("c", message(1), person(1))
	id := f.id(o)
	correct := func(profile string) {
		f.t.Helper()
		f.must("correct", f.s.SetProfile(f.ctx, id, f.byID(id).Consent.Profile, []byte(profile)))
	}
	correct("first") // the waiting opt-in will bring it
	if got := f.deliverAll(); !slices.Equal(got, []store.Event{store.EventOptedIn}) {
		f.t.Errorf("delivered %v", got)
	}
	given := f.byID(id).HandedOverAt
	f.clock.add(time.Hour)
	correct("second")
	correct("second") // the same again tells nothing new
	correct("third")
	list, err := f.s.Deliveries(f.ctx)
	f.must("list", err)
	if len(list) != 1 || list[0].Event != store.EventChanged {
		f.t.Fatalf("waiting: %+v", list)
	}
	records := len(f.records("c"))
	f.deliverAll()
	if r := f.records("c"); len(r) != records+1 || r[records].Kind != store.RecordProvision || r[records].Receiver.Ack != "ack-1" {
		f.t.Error("the second hand-over left no record")
	}
	if r := f.byID(id); !r.HandedOverAt.Equal(given) || f.counts("c").HandedOver != 1 {
		f.t.Error("a change was counted as another hand-over")
	}
	changesOnTheirWay(f, id, correct)
}

// changesOnTheirWay: a change that was tried is followed by another; a withdrawal
// ends both.
func changesOnTheirWay(f *fixture, id string, correct func(string)) {
	f.t.Helper()
	correct("fourth")
	due, err := f.s.Claim(f.ctx, 1, time.Minute)
	f.must("claim", err)
	correct("fifth")
	list, err := f.s.Deliveries(f.ctx)
	f.must("list", err)
	if len(list) != 2 || list[1].Event != store.EventChanged || list[1].Attempts != 0 {
		f.t.Fatalf("waiting: %+v", list)
	}
	_, err = f.s.Withdraw(f.ctx, id)
	f.must("withdraw", err)
	f.wantErr("requeue a change after the withdrawal", f.s.Requeue(f.ctx, due[0].ID), store.ErrWrongState)
	if got := f.deliverAll(); !slices.Equal(got, []store.Event{store.EventWithdrawn}) {
		f.t.Errorf("delivered %v", got)
	}
}

// handOver: the agency fetched the data itself.
func handOver(f *fixture) {
	o := f.sent("c", message(1), person(1))
	id := f.id(o)
	_, err := f.s.HandOver(f.ctx, id, receiver)
	f.wantErr("hand over without consent", err, store.ErrWrongState)
	for range 2 { // after a withdrawal it begins anew
		_, err = f.s.OptIn(f.ctx, o.Token, f.consent())
		f.must("opt in", err)
		before := len(f.records("c"))
		for range 2 {
			r, err := f.s.HandOver(f.ctx, id, receiver)
			f.must("hand over", err)
			if !r.HandedOverAt.Equal(store.Clock(f.clock.now())) || !bytes.Equal(r.Consent.Profile, []byte{0, 1, 2, 255}) {
				f.t.Errorf("handed over at %v", r.HandedOverAt)
			}
		}
		records := f.records("c")
		if len(records) != before+1 || records[before].Kind != store.RecordProvision || records[before].Receiver.Name != receiver.Name {
			f.t.Errorf("records of provision: %+v", records[before:])
		}
		_, err = f.s.SetAgencyState(f.ctx, id, store.Contacted)
		f.must("report", err)
		_, err = f.s.Withdraw(f.ctx, id)
		f.must("withdraw", err)
		_, err = f.s.HandOver(f.ctx, id, receiver)
		f.wantErr("hand over after the withdrawal", err, store.ErrWrongState)
	}
	trial := f.offer("c", message(2), person(2))
	trial.Test = true
	f.mustOffer(trial)
	r, err := f.s.OptIn(f.ctx, trial.Token, f.consent())
	f.must("opt in", err)
	before := len(f.records("c"))
	_, err = f.s.HandOver(f.ctx, r.ID, receiver)
	f.must("hand over a trial", err)
	if len(f.records("c")) != before {
		f.t.Error("a trial left a record")
	}
}

// agencyTimes: a report keeps its first time until it says something else.
func agencyTimes(f *fixture) {
	id := f.id(f.optedIn("c", message(1), person(1)))
	f.deliverAll()
	report := func(a store.AgencyState) time.Time {
		f.t.Helper()
		f.clock.add(time.Hour)
		r, err := f.s.SetAgencyState(f.ctx, id, a)
		f.must("report", err)
		f.reopen()
		if got := f.byID(id).AgencyAt; !got.Equal(r.AgencyAt) {
			f.t.Errorf("kept %v, said %v", got, r.AgencyAt)
		}
		return r.AgencyAt
	}
	first := report(store.Contacted)
	if !first.Equal(store.Clock(f.clock.now())) {
		f.t.Errorf("reported at %v", first)
	}
	if again := report(store.Contacted); !again.Equal(first) {
		f.t.Errorf("the same again moved the time to %v", again)
	}
	if next := report(store.Introduced); !next.After(first) {
		f.t.Errorf("the next report keeps the old time %v", next)
	}
}

// programmes: the ledger tells leavers from candidates.
func programmes(f *fixture) {
	f.optedIn("c", message(1), person(1))
	o := f.offer("c", message(2), person(2))
	o.Kind, o.Rule = store.KindLeaver, "ja.leaver"
	f.mustOffer(o)
	_, err := f.s.OptIn(f.ctx, o.Token, f.consent())
	f.must("opt in", err)
	f.reopen()
	entries, err := f.s.Entries(f.ctx, "c", 0, 10)
	f.must("read ledger", err)
	if len(entries) != 2 || entries[0].Programme != "" || entries[1].Programme != store.KindLeaver || entries[1].Hash != entries[1].Sum() {
		f.t.Errorf("ledger: %+v", entries)
	}
	entries[1].Programme = ""
	if entries[1].Hash == entries[1].Sum() {
		f.t.Error("the flag is not part of the chain")
	}
	f.wantCredits("c", 2, 0, 0)
}
