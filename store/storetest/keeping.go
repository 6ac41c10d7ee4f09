package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// What those who keep the store need: the journal, dry runs, new keys, finding a
// person, and another ratio.

func (f *fixture) note(n store.Note) store.Note {
	f.t.Helper()
	got, err := f.s.Note(f.ctx, n)
	f.must("note", err)
	return got
}

func (f *fixture) notes(q store.NoteQuery) (actions []string) {
	f.t.Helper()
	got, err := f.s.Notes(f.ctx, q)
	f.must("read journal", err)
	for _, n := range got {
		actions = append(actions, n.Action)
	}
	return actions
}

func journal(f *fixture) {
	if got := f.notes(store.NoteQuery{}); len(got) != 0 {
		f.t.Errorf("a new store has notes: %q", got)
	}
	want := store.Note{Kind: store.NoteAccess, Actor: "hr", Role: "hr", Action: "1", Company: "c", Detail: "見る"}
	first := f.note(want)
	want.Seq, want.At, want.Hash = 1, store.Clock(start), first.Hash
	if first != want || first.Hash != first.Sum() {
		f.t.Errorf("first note: %+v", first)
	}
	f.clock.add(time.Hour)
	f.note(store.Note{Kind: store.NoteRequest, Actor: "candidate", Action: "2", Company: "c", Referral: "r"})
	f.reopen()
	f.note(store.Note{Kind: store.NoteRequest, Actor: "cli", Action: "3", Company: "d"})
	f.clock.add(time.Hour)
	last := f.note(store.Note{Kind: store.NoteDeletion, Actor: "relay", Action: "4"})
	hour := store.Clock(start).Add(time.Hour)
	for name, c := range map[string]struct {
		q    store.NoteQuery
		want string
	}{
		"all":     {store.NoteQuery{}, "4 3 2 1"},
		"kind":    {store.NoteQuery{Kind: store.NoteRequest}, "3 2"},
		"company": {store.NoteQuery{Company: "c"}, "2 1"},
		"from":    {store.NoteQuery{From: hour}, "4 3 2"},
		"before":  {store.NoteQuery{Before: hour}, "1"},
		"below":   {store.NoteQuery{Below: 3}, "2 1"},
		"page":    {store.NoteQuery{Below: last.Seq, Limit: 2}, "3 2"},
		"end":     {store.NoteQuery{Below: 1}, ""},
		"far":     {store.NoteQuery{Below: 1 << 40, Limit: 1}, "4"},
	} {
		if got := strings.Join(f.notes(c.q), " "); got != c.want {
			f.t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got, err := f.s.Notes(f.ctx, store.NoteQuery{Limit: 1}); err != nil || got[0] != last {
		f.t.Errorf("newest: %+v, %v; want %+v", got, err, last)
	}
	if rep := f.audit(); rep.Journal != (store.ChainHead{Lines: 4, Head: last.Hash}) {
		f.t.Errorf("audit: %+v", rep.Journal)
	}
}

func badNotes(f *fixture) {
	good := store.Note{Kind: store.NoteAccess, Actor: "a", Action: "b"}
	for name, spoil := range map[string]func(*store.Note){
		"kind":    func(n *store.Note) { n.Kind = "secret" },
		"actor":   func(n *store.Note) { n.Actor = "" },
		"action":  func(n *store.Note) { n.Action = "" },
		"line":    func(n *store.Note) { n.Detail = "a\nb" },
		"length":  func(n *store.Note) { n.Detail = strings.Repeat("a", 1000) },
		"control": func(n *store.Note) { n.Actor = "a\x00" },
	} {
		n := good
		spoil(&n)
		if _, err := f.s.Note(f.ctx, n); err == nil || errors.Is(err, store.ErrUnavailable) {
			f.t.Errorf("%s: got error %v", name, err)
		}
	}
	if n := f.note(good); n.Seq != 1 {
		f.t.Errorf("bad notes left %d lines", n.Seq-1)
	}
}

func concurrentNotes(f *fixture) {
	together(20, func(i int) {
		if _, err := f.s.Note(f.ctx, store.Note{Kind: store.NoteAccess, Actor: "a", Action: fmt.Sprint(i)}); err != nil {
			f.t.Errorf("note %d: %v", i, err)
		}
	})
	if rep := f.audit(); rep.Journal.Lines != 20 {
		f.t.Errorf("%d lines", rep.Journal.Lines)
	}
}

func retentionOfNotes(f *fixture) {
	f.note(store.Note{Kind: store.NoteAccess, Actor: "a", Action: "old"})
	f.clock.add(store.MinRecords + time.Second)
	f.note(store.Note{Kind: store.NoteAccess, Actor: "a", Action: "new"})
	got, err := f.s.Purge(f.ctx, store.Retention{Records: store.MinRecords})
	f.must("purge", err)
	if got != (store.Purged{Notes: 1}) || !slices.Equal(f.notes(store.NoteQuery{}), []string{"new"}) {
		f.t.Errorf("purged %+v, left %q", got, f.notes(store.NoteQuery{}))
	}
	f.reopen()
	if n := f.note(store.Note{Kind: store.NoteAccess, Actor: "a", Action: "next"}); n.Seq != 3 { // the chain goes on
		f.t.Errorf("line %d", n.Seq)
	}
}

// dryPurge has something of every kind to delete.
func dryPurge(f *fixture) {
	f.sent("c", message(1), person(1))
	f.optedIn("c", message(2), person(2))
	gone := f.optedIn("c", message(3), person(3))
	f.deliverAll()
	_, err := f.s.Withdraw(f.ctx, f.id(gone))
	f.must("withdraw", err)
	due, err := f.s.Claim(f.ctx, 1, time.Minute)
	f.must("claim", err)
	f.must("give up", f.s.Failed(f.ctx, due[0].ID, "gone", time.Time{}))
	held := f.sent("c", message(4), person(4))
	f.must("hold", f.s.Hold(f.ctx, store.Held{Code: store.NewToken(), Referral: f.id(held), Consent: f.consent(), Until: f.clock.now().Add(time.Hour)}))
	f.note(store.Note{Kind: store.NoteAccess, Actor: "a", Action: "old"})
	f.clock.add(store.MinRecords + day)
	keep := store.Retention{Records: store.MinRecords, Dry: true}
	var all []store.Purged
	for range 2 { // a dry run changes nothing
		p, err := f.s.Purge(f.ctx, keep)
		f.must("dry run", err)
		all = append(all, p)
	}
	keep.Dry = false
	p, err := f.s.Purge(f.ctx, keep)
	f.must("purge", err)
	want := store.Purged{Unused: 2, Profiles: 1, Anonymised: 1, Held: 1, Letters: 1, Records: 5, Notes: 1}
	if all = append(all, p); !slices.Equal(all, []store.Purged{want, want, want}) {
		f.t.Errorf("dry, dry, real:\n%+v\nwant %+v", all, want)
	}
}

func reseal(f *fixture) {
	in, out := f.optedIn("c", message(1), person(1)), f.optedIn("d", message(2), person(2))
	_, err := f.s.Withdraw(f.ctx, f.id(out)) // has no profile any more
	f.must("withdraw", err)
	held, code := f.sent("c", message(3), person(3)), store.NewToken()
	f.must("hold", f.s.Hold(f.ctx, store.Held{Code: code, Referral: f.id(held), Consent: f.consent(), Until: f.clock.now().Add(time.Hour)}))
	asked := map[string]bool{}
	renew := func(referral string, profile []byte) ([]byte, error) {
		asked[referral] = true
		if bytes.HasPrefix(profile, []byte("new")) {
			return nil, nil
		}
		return append([]byte("new"), profile...), nil
	}
	broken := errors.New("broken")
	_, err = f.s.Reseal(f.ctx, func(string, []byte) ([]byte, error) { return nil, broken })
	f.wantErr("key is missing", err, broken)
	stopped := false
	_, err = f.s.Reseal(f.ctx, func(referral string, profile []byte) ([]byte, error) {
		if referral == f.id(held) && !stopped {
			stopped = true
			return nil, broken
		}
		return renew(referral, profile)
	})
	f.wantErr("stopped in the middle", err, broken)
	for _, want := range []int64{1, 0} { // goes on where it stopped
		if n, err := f.s.Reseal(f.ctx, renew); err != nil || n != want {
			f.t.Errorf("resealed %d, %v; want %d", n, err, want)
		}
	}
	if len(asked) != 2 || !asked[f.id(in)] || !asked[f.id(held)] {
		f.t.Errorf("asked about %v", asked)
	}
	r, err := f.s.Release(f.ctx, code)
	f.must("release", err)
	want := append([]byte("new"), f.consent().Profile...)
	if got := f.lookup(in.Token).Consent.Profile; !bytes.Equal(got, want) || !bytes.Equal(r.Consent.Profile, want) {
		f.t.Errorf("profiles: %q, %q", got, r.Consent.Profile)
	}
}

func subject(f *fixture) {
	who := f.keys.Person("c", person(1))
	describe := func() string {
		f.t.Helper()
		s, err := f.s.Subject(f.ctx, "c", who)
		f.must("find person", err)
		var states []string
		for _, r := range s.Referrals {
			states = append(states, fmt.Sprint(r.State, " ", r.Test))
		}
		return fmt.Sprint(states, s.OptedOut, s.Erased)
	}
	want := func(step, want string) {
		f.t.Helper()
		if got := describe(); got != want {
			f.t.Errorf("%s: got %s, want %s", step, got, want)
		}
	}
	want("a stranger", "[] false false")
	f.optedIn("d", message(1), person(1))
	want("known to another company", "[] false false")
	o := f.optedIn("c", message(1), person(1))
	want("opted in", "[opted_in false] false false")
	trial := f.offer("c", message(2), person(1))
	trial.Test = true
	f.mustOffer(trial)
	want("test mode too", "[opted_in false offered true] false false")
	f.must("opt out", f.s.OptOut(f.ctx, o.Token))
	want("opted out", "[opted_in false offered true] true false")
	for _, r := range f.subject("c", who).Referrals {
		_, err := f.s.Erase(f.ctx, r.ID)
		f.must("erase", err)
	}
	want("erased", "[] true true")
}

func (f *fixture) subject(company string, who store.PersonHash) store.Subject {
	f.t.Helper()
	s, err := f.s.Subject(f.ctx, company, who)
	f.must("find person", err)
	return s
}

// otherRatio: what was earned stays earned; what is pending and what comes counts
// by the new ratio, and the audit has nothing against it.
func otherRatio(f *fixture) {
	for i := range 5 { // one credit, two pending
		f.optedIn("c", message(i), person(i))
		f.optedIn("own", message(i), person(i))
	}
	f.wantCredits("c", 5, 1, 0)
	f.wantCredits("own", 5, 2, 0)
	f.opt.Ratio, f.opt.Ratios = 2, map[string]int{"own": 4}
	f.reopen()
	f.wantCredits("c", 5, 1, 0)
	f.audit()
	for i := range 3 {
		f.optedIn("c", message(10+i), person(10+i))
		f.optedIn("own", message(10+i), person(10+i))
	}
	f.wantCredits("c", 8, 3, 0)
	f.wantCredits("own", 8, 3, 0)
	rep := f.audit()
	if c := rep.Companies; len(c) != 2 || !slices.Equal(c[0].PerCredit, []int{2, 3}) || !slices.Equal(c[1].PerCredit, []int{2, 4}) {
		f.t.Errorf("audit: %+v", c)
	}
}
