package bolt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"go.etcd.io/bbolt"
)

var update = flag.Bool("update", false, "make the kept database of the current format anew")

// keptAt is when the kept databases were filled.
var keptAt = time.Date(2026, 4, 1, 0, 0, 0, 123456000, time.UTC)

func keptPath(format int) string {
	return filepath.Join("testdata", fmt.Sprintf("format-%d.db.gz", format))
}

// TestKeptFormats opens a file of every format that was ever released. A file
// is made once, when its format is new, and never again.
func TestKeptFormats(t *testing.T) {
	if *update {
		makeKept(t)
	}
	for format := 1; format <= Format; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			path := dbPath(t)
			writeFile(t, path, gunzip(t, readFile(t, keptPath(format))))
			s := openTest(t, path, Options{Policy: store.Policy{Now: func() time.Time { return keptAt.Add(24 * time.Hour) }, Outbox: true}})
			checkKept(t, s)
		})
	}
}

// makeKept writes a file with something in every bucket.
func makeKept(t *testing.T) {
	path := dbPath(t)
	s, err := Open(path, Options{Policy: store.Policy{Now: func() time.Time { return keptAt }, Outbox: true, Attribution: store.FirstCompany}})
	must(t, err)
	var ids []string
	for i := range 12 {
		o := testOffer(i)
		_, err := s.Offer(t.Context(), o)
		must(t, err)
		must(t, s.Confirm(t.Context(), o.Token))
		must(t, s.View(t.Context(), o.Token, i%2 == 0))
		r, err := s.OptIn(t.Context(), o.Token, store.Consent{TextID: "ja-1", TextSHA256: "aa", Locale: "ja", Method: "typed_address",
			TellBack: true, Profile: []byte("sealed"), Candidate: store.PersonHash(fmt.Sprint("candidate", i))})
		must(t, err)
		ids = append(ids, r.ID)
	}
	_, err = s.Redeem(t.Context(), "c", "営業職")
	must(t, err)
	due, err := s.Claim(t.Context(), 1, time.Minute)
	must(t, err)
	must(t, s.Delivered(t.Context(), due[0].ID, store.Receiver{Name: "agency", Address: "Tokyo", Fields: []string{"name"}, Ack: "1"}))
	_, err = s.Withdraw(t.Context(), ids[10])
	must(t, err)
	_, err = s.Erase(t.Context(), ids[11])
	must(t, err)
	for i := 12; i < 16; i++ { // offered, sent and opted out, void, test
		o := testOffer(i)
		o.Test = i == 15
		_, err := s.Offer(t.Context(), o)
		must(t, err)
	}
	must(t, s.Confirm(t.Context(), testOffer(13).Token))
	must(t, s.OptOut(t.Context(), testOffer(13).Token))
	must(t, s.Void(t.Context(), testOffer(14).Token))
	must(t, s.Add(t.Context(), "c", "", store.Traffic{Seen: 100, Matched: 16, Inserted: 16}))
	_, err = s.Note(t.Context(), store.Note{Kind: store.NoteAccess, Actor: "hr", Action: "look"})
	must(t, err)
	pace := store.PaceAt("c", keptAt)
	pace.Allowed = 16
	must(t, s.AddPace(t.Context(), pace))
	must(t, s.AddCopy(t.Context(), "copy"))
	must(t, s.Ping(t.Context()))
	must(t, s.Close())
	writeFile(t, keptPath(Format), gzipped(t, compacted(t, path)))
}

func checkKept(t *testing.T, s *Store) {
	t.Helper()
	for i, want := range []store.State{store.OptedIn, 10: store.Withdrawn, 11: "", store.Offered, store.Sent, "", store.Offered} {
		if want == "" && i < 10 {
			want = store.OptedIn
		}
		r, err := s.Lookup(t.Context(), testOffer(i).Token)
		switch {
		case want == "" && !errors.Is(err, store.ErrNotFound), want != "" && err != nil, r.State != want:
			t.Errorf("referral %d: %q, %v; want %q", i, r.State, err, want)
		}
		if i < 10 && (string(r.Consent.Profile) != "sealed" || !r.Consent.TellBack || !r.OptedInAt.Equal(keptAt) || r.Human+r.Machine != 1) {
			t.Errorf("referral %d is not as it was", i)
		}
	}
	rows, err := s.Report(t.Context(), "")
	must(t, err)
	want := store.Counts{Company: "c", Traffic: store.Traffic{Seen: 100, Matched: 16, Inserted: 16}, Sent: 13, OpenedHuman: 6,
		OpenedMachine: 6, OptedIn: 12, OptedOut: 1, Withdrawn: 1, HandedOver: 1, Credits: store.Credits{Counted: 10, Earned: 1, Redeemed: 1}}
	if len(rows) != 1 || rows[0] != want {
		t.Errorf("report: got %+v, want %+v", rows, want)
	}
	if rep, err := s.Audit(t.Context()); err != nil || !rep.OK() || rep.Referrals != 16 {
		t.Errorf("audit: %+v, %v", rep, err)
	}
	if list, err := s.Deliveries(t.Context()); err != nil || len(list) != 9 {
		t.Errorf("outbox: %d, %v", len(list), err)
	}
	if list, err := s.Introductions(t.Context(), "c"); err != nil || len(list) != 1 || list[0].Note != "営業職" {
		t.Errorf("introductions: %+v, %v", list, err)
	}
	_, err = s.Offer(t.Context(), testOffer(13))
	if !errors.Is(err, store.ErrSuppressed) {
		t.Errorf("offer after opt-out: %v", err)
	}
	if r := optIn(t, s, 50); !r.Counted {
		t.Error("the file takes nothing new")
	}
}

func compacted(t *testing.T, path string) []byte {
	t.Helper()
	src, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	to := path + ".compact"
	dst, err := bbolt.Open(to, 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, errors.Join(bbolt.Compact(dst, src, 0), dst.Close(), src.Close()))
	return readFile(t, to)
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(b)
	must(t, errors.Join(err, w.Close()))
	return buf.Bytes()
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	out, err := io.ReadAll(r)
	must(t, err)
	return out
}

// TestUpgradeTo2: the credits that fell before format 2 are counted.
func TestUpgradeTo2(t *testing.T) {
	path := dbPath(t)
	s, err := Open(path, Options{Policy: store.Policy{Ratio: 2}})
	must(t, err)
	var ids []string
	for i := range 5 {
		ids = append(ids, optIn(t, s, i).ID)
	}
	_, err = s.Withdraw(t.Context(), ids[0]) // a credit falls, and its other row earns the next one
	must(t, err)
	want, err := s.Credits(t.Context(), "c")
	must(t, err)
	must(t, s.update(t.Context(), func(t *txn) error {
		return errors.Join(t.tx.DeleteBucket(bucketJournal), t.withCompany("c", func(c *companyRecord) error {
			if c.Book.Fallen != 1 {
				return fmt.Errorf("%d credits fell", c.Book.Fallen)
			}
			c.Book.Fallen = 0
			return nil
		}))
	}))
	must(t, s.Close())
	setFormat(t, path, 1)
	s = openTest(t, path, Options{Policy: store.Policy{Ratio: 2}})
	if got, err := s.Credits(t.Context(), "c"); err != nil || got != want || got.Earned != 2 {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if rep, err := s.Audit(t.Context()); err != nil || !rep.OK() {
		t.Errorf("audit: %v, %v", err, rep.Problems)
	}
	_, err = s.Note(t.Context(), store.Note{Kind: store.NoteAccess, Actor: "hr", Action: "look"})
	must(t, err)
}
