package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Fill puts something of every kind into a store that was opened with an outbox:
// for tests that move one. Candidates from 0 on are people of company c.
func Fill(t *testing.T, s store.Full, candidates int) {
	t.Helper()
	f := &fixture{t: t, clock: &clock{at: start}, s: s, ctx: t.Context(), keys: testKeys(t)}
	f.fill(candidates)
}

func (f *fixture) fill(candidates int) {
	for i := range candidates {
		o := f.optedIn("c", message(i), person(i))
		f.must("view", f.s.View(f.ctx, o.Token, i%2 == 0))
	}
	_, err := f.s.Redeem(f.ctx, "c", "営業職")
	f.must("redeem", err)
	_, err = f.s.Advance(f.ctx, "c", 1, store.EntryIntroduce, "")
	f.must("introduce", err)
	due, err := f.s.Claim(f.ctx, 2, time.Minute)
	f.must("claim", err)
	f.must("delivered", f.s.Delivered(f.ctx, due[0].ID, receiver))
	f.must("failed", f.s.Failed(f.ctx, due[1].ID, "410", time.Time{}))
	for _, i := range []int{1, 2} {
		o := f.offer("c", message(i), person(i))
		end := f.s.Withdraw
		if i == 2 {
			end = f.s.Erase
		}
		_, err := end(f.ctx, f.id(o))
		f.must("end", err)
	}
	f.fillOffers()
	f.must("add", f.s.Add(f.ctx, "c", "ja.oinori", store.Traffic{Seen: 100, Matched: 16, Near: 2, Inserted: 16}))
	f.must("suppress", f.s.Suppress(f.ctx, "c", f.keys.Person("c", "never@example.org")))
	f.must("add pace", f.s.AddPace(f.ctx, store.Pace{Company: "c", Slot: store.PaceAt("c", start).Slot, Allowed: 3, Refused: 1}))
	for i := range 2 {
		f.must("add copy", f.s.AddCopy(f.ctx, f.keys.Copy("c", message(i), person(i))))
	}
	for range 3 {
		_, err := f.s.Note(f.ctx, store.Note{Kind: store.NoteAccess, Actor: "admin", Action: "look"})
		f.must("note", err)
	}
}

// fillOffers adds referrals in the states before a consent, and one that came
// back after an erasure.
func (f *fixture) fillOffers() {
	void, trial, out := f.offer("d", message(1), person(1)), f.offer("d", message(2), person(2)), f.sent("d", message(3), person(3))
	trial.Test = true
	for _, o := range []store.Offer{void, trial, f.offer("d", message(4), person(4))} {
		f.mustOffer(o)
	}
	f.must("void", f.s.Void(f.ctx, void.Token))
	f.must("opt out", f.s.OptOut(f.ctx, out.Token))
	f.must("hold", f.s.Hold(f.ctx, store.Held{Code: f.keys.Token("d", "held", ""), Referral: f.id(out), Consent: f.consent(), Until: start.Add(time.Hour)}))
	gone := f.sent("d", message(5), person(5))
	_, err := f.s.Erase(f.ctx, f.id(gone))
	f.must("erase", err)
	back := f.offer("d", message(6), person(5))
	back.Asked = true
	f.mustOffer(back)
}

func dumpAndLoad(f *fixture) {
	f.fill(12)
	whole := f.dump(f.s)
	copied := f.open(f.t, f.t.TempDir(), f.opt)
	defer func() { f.must("close", copied.Close()) }()
	f.must("load", copied.Load(f.ctx, bytes.NewReader(whole)))
	if got := f.dump(copied); !bytes.Equal(got, whole) {
		f.t.Errorf("the copy is another:\n%s", firstDifference(got, whole))
	}
	f.wantErr("load again", copied.Load(f.ctx, bytes.NewReader(whole)), store.ErrNotEmpty)
	before, err := f.s.Audit(f.ctx)
	f.must("audit", err)
	after, err := copied.Audit(f.ctx)
	f.must("audit the copy", err)
	if !reflect.DeepEqual(before, after) || !after.OK() {
		f.t.Errorf("audit: %+v\ncopy: %+v", before, after)
	}
	f.goesOn(copied)
}

// goesOn checks that a copy is the same to those who come to it.
func (f *fixture) goesOn(copied store.Full) {
	f.t.Helper()
	r, err := copied.Lookup(f.ctx, f.offer("c", message(0), person(0)).Token)
	if err != nil || r.State != store.OptedIn {
		f.t.Errorf("look up: %v, %v", r, err)
	}
	_, err = copied.Offer(f.ctx, f.offer("d", message(9), person(3)))
	f.wantErr("offer to who opted out", err, store.ErrSuppressed)
	_, err = copied.Offer(f.ctx, f.offer("c", message(9), person(2)))
	f.wantErr("offer to who was erased", err, store.ErrOffered)
	_, err = copied.Release(f.ctx, f.keys.Token("d", "held", ""))
	f.must("release", err)
	next, err := copied.Offer(f.ctx, f.offer("c", message(100), person(100)))
	f.must("offer", err)
	if last := f.byID(f.id(f.offer("d", message(6), person(5)))); next.ID <= last.ID {
		f.t.Errorf("id %s does not follow %s", next.ID, last.ID)
	}
	old, err := f.s.Deliveries(f.ctx)
	f.must("list", err)
	list, err := copied.Deliveries(f.ctx)
	f.must("list", err)
	if len(list) != len(old)+1 || list[len(list)-1].ID <= old[len(old)-1].ID {
		f.t.Errorf("the released consent is not the next delivery: %d, before %d", len(list), len(old))
	}
}

func loadGoesOn(f *fixture) {
	for i := range 700 { // more than one transaction loads
		f.sent("c", message(i), person(i))
	}
	f.optedIn("c", message(701), person(701))
	for i := range 700 {
		_, err := f.s.Note(f.ctx, store.Note{Kind: store.NoteAccess, Actor: "admin", Action: "look", Detail: person(i)})
		f.must("note", err)
	}
	whole := f.dump(f.s)
	place := f.t.TempDir()
	copied := f.open(f.t, place, f.opt)
	torn := errors.New("torn")
	cut := io.MultiReader(bytes.NewReader(whole[:len(whole)*9/10]), failingReader{torn})
	f.wantErr("load a part", copied.Load(f.ctx, cut), torn)
	other := bytes.Replace(whole, []byte("ja.oinori"), []byte("ja.another"), 1)
	f.wantErr("go on with another dump", copied.Load(f.ctx, bytes.NewReader(other)), store.ErrOtherDump)
	f.must("go on", copied.Load(f.ctx, bytes.NewReader(whole)))
	if got := f.dump(copied); !bytes.Equal(got, whole) {
		f.t.Errorf("the copy is another:\n%s", firstDifference(got, whole))
	}
	f.must("close", copied.Close())
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func damagedDump(f *fixture) {
	f.optedIn("c", message(1), person(1))
	whole := f.dump(f.s)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for name, bad := range map[string][]byte{
		"empty":        nil,
		"no dump":      []byte("{}\n"),
		"newer":        bytes.Replace(whole, []byte(`"careerrelay-dump":1`), []byte(`"careerrelay-dump":99`), 1),
		"without end":  bytes.Join(lines[:len(lines)-2], nil),
		"a line less":  bytes.Join(append(append([][]byte{}, lines[0]), lines[2:]...), nil),
		"a bit turned": bytes.Replace(whole, []byte("optin-ja-1"), []byte("optin-ja-2"), 1),
		"unknown":      bytes.Replace(whole, []byte(`{"trail"`), []byte(`{"more":1,"trail"`), 1),
	} {
		copied := f.open(f.t, f.t.TempDir(), f.opt)
		f.wantErr(name, copied.Load(f.ctx, bytes.NewReader(bad)), store.ErrDump)
		f.must("close", copied.Close())
	}
}

func (f *fixture) dump(s store.Full) []byte {
	f.t.Helper()
	var b bytes.Buffer
	f.must("dump", s.Dump(context.WithoutCancel(f.ctx), &b))
	return b.Bytes()
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one is longer"
}
