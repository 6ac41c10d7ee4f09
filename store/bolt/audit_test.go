package bolt

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
	"go.etcd.io/bbolt"
)

// booked makes a store with 21 counted referrals, two credits and one
// introduction, and returns its path.
func booked(t *testing.T) string {
	t.Helper()
	path := dbPath(t)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 21 {
		optIn(t, s, i)
	}
	if _, err := s.Redeem(t.Context(), "c", "one"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := s.Note(t.Context(), store.Note{Kind: store.NoteAccess, Actor: "hr", Action: "look"})
		must(t, err)
	}
	if rep, err := s.Audit(t.Context()); err != nil || !rep.OK() {
		t.Fatalf("sound store: %v, %v", err, rep.Problems)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func optIn(t *testing.T, s *Store, i int) store.Referral {
	t.Helper()
	o := testOffer(i)
	if _, err := s.Offer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r, err := s.OptIn(t.Context(), o.Token, store.Consent{TextID: "ja-1", TextSHA256: "aa", Locale: "ja"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// edit changes a record the way someone with the file and this program's source
// would: checksum included.
func edit[T any](t *testing.T, tx *txn, bucket, key []byte, change func(*T)) {
	t.Helper()
	var v T
	if found, err := tx.load(bucket, key, &v); err != nil || !found {
		t.Fatalf("%s: found %v, %v", bucket, found, err)
	}
	change(&v)
	if err := tx.save(bucket, key, v); err != nil {
		t.Fatal(err)
	}
}

func editRow(t *testing.T, tx *txn, id string, change func(*engine.Row)) {
	t.Helper()
	r, err := tx.Row(id)
	must(t, err)
	change(r)
	must(t, tx.PutRow(r))
}

func TestAuditFindsTampering(t *testing.T) {
	entry := func(n int64) []byte { return seqKey("c", n) }
	firstRow := func(tx *txn) []byte { k, _ := tx.tx.Bucket(bucketReferrals).Cursor().First(); return bytes.Clone(k) }
	for _, c := range []struct {
		name  string
		do    func(t *testing.T, tx *txn)
		words string
	}{
		{"a line changed", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketLedger, entry(3), func(e *store.Entry) { e.Referral = "x" })
		}, "was changed"},
		{"a line changed and hashed anew", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketLedger, entry(24), func(e *store.Entry) { e.Note = "other"; e.Hash = e.Sum() })
		}, "ledger head"},
		{"a line deleted", func(t *testing.T, tx *txn) { must(t, tx.delete(bucketLedger, entry(5))) }, "follows line 4"},
		{"the last line deleted", func(t *testing.T, tx *txn) { must(t, tx.delete(bucketLedger, entry(24))) }, "ledger lines"},
		{"a credit given away", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketCompanies, []byte("c"), func(c *companyRecord) { c.Book.Redeemed = 0 })
		}, "redeemed introductions"},
		{"a count added", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketCompanies, []byte("c"), func(c *companyRecord) { c.Book.Counted = 30 })
		}, "counted referrals"},
		{"other rows for a credit", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketLedger, entry(11), func(e *store.Entry) { e.Rows[0] = e.Rows[1]; e.Hash = e.Sum() })
		}, "not earned by"},
		{"a consent text changed", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketConsents, entry(2), func(r *store.Record) { r.TextID = "ja-2" })
		}, "was changed"},
		{"a consent deleted", func(t *testing.T, tx *txn) { must(t, tx.delete(bucketConsents, entry(21))) }, "consent records"},
		{"a row that does not count", func(t *testing.T, tx *txn) {
			editRow(t, tx, hex.EncodeToString(firstRow(tx)), func(r *engine.Row) { r.Counted = false })
		}, "its row does not"},
		{"a row moved to another line", func(t *testing.T, tx *txn) {
			editRow(t, tx, hex.EncodeToString(firstRow(tx)), func(r *engine.Row) { r.Entry = 2 })
		}, "the ledger does not say so"},
		{"a row deleted", func(t *testing.T, tx *txn) { must(t, tx.delete(bucketReferrals, firstRow(tx))) }, "no such referral"},
		{"a link deleted", func(t *testing.T, tx *txn) {
			hash := testOffer(4).Token.Hash()
			must(t, tx.delete(bucketLinks, hash[:]))
		}, "does not lead to it"},
		{"a person deleted", func(t *testing.T, tx *txn) {
			must(t, tx.delete(bucketPersons, personKey("c", false, testOffer(4).Person)))
		}, "does not lead to it"},
		{"a credit out of nothing", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketCompanies, []byte("c"), func(c *companyRecord) { c.Book.Fallen = -1 })
		}, "fallen credits"},
		{"a note changed", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketJournal, numbered("", 2), func(n *store.Note) { n.Actor = "nobody" })
		}, "journal, line 2: was changed"},
		{"a note changed and hashed anew", func(t *testing.T, tx *txn) {
			edit(t, tx, bucketJournal, numbered("", 2), func(n *store.Note) { n.Actor = "nobody"; n.Hash = n.Sum() })
		}, "journal, line 3: does not carry"},
		{"the last note deleted", func(t *testing.T, tx *txn) { must(t, tx.delete(bucketJournal, numbered("", 3))) }, "says 3 lines, there are 2"},
		{"a bit flipped", func(t *testing.T, tx *txn) {
			b := tx.tx.Bucket(bucketLedger)
			v := bytes.Clone(b.Get(entry(7)))
			v[len(v)-1] ^= 4
			must(t, b.Put(entry(7), v))
		}, "checksum"},
		{"a bit flipped in a row", func(t *testing.T, tx *txn) {
			b, k := tx.tx.Bucket(bucketReferrals), firstRow(tx)
			v := bytes.Clone(b.Get(k))
			v[len(v)-1] ^= 4
			must(t, b.Put(k, v))
		}, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := booked(t)
			db, err := bbolt.Open(path, 0o600, nil)
			must(t, err)
			must(t, db.Update(func(tx *bbolt.Tx) error { c.do(t, &txn{tx: tx}); return nil }))
			must(t, db.Close())
			s := openTest(t, path, Options{})
			rep, err := s.Audit(t.Context())
			must(t, err)
			if !strings.Contains(strings.Join(rep.Problems, "\n"), c.words) {
				t.Errorf("problems %q do not say %q", rep.Problems, c.words)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNothingReadableAtRest looks for what must not be in the file and its
// companions: tokens, addresses, message ids, unsealed profiles.
func TestNothingReadableAtRest(t *testing.T) {
	const address, messageID = "canary.taro@canary.example", "<canary-message@ats.example>"
	keys, err := store.NewKeys([]byte("canary secret of enough bytes..."))
	must(t, err)
	sealer, err := store.NewSealer([]byte("canary key of thirty-two bytes.."))
	must(t, err)
	path := dbPath(t)
	s, err := Open(path, Options{Policy: store.Policy{Outbox: true, Attribution: store.FirstCompany}})
	must(t, err)
	token := keys.Token("c", messageID, address)
	r, err := s.Offer(t.Context(), store.Offer{Key: keys.Key("c", messageID, address), Token: token, Company: "c",
		Person: keys.Person("c", address), Rule: "r"})
	must(t, err)
	box, err := sealer.Seal(r.ID, []byte(`{"name":"canary","mail":"`+address+`"}`))
	must(t, err)
	_, err = s.OptIn(t.Context(), token, store.Consent{Profile: box, Candidate: keys.Candidate(address)})
	must(t, err)
	must(t, s.OptOut(t.Context(), token))
	must(t, s.Backup(t.Context(), path+".backup"))
	must(t, s.Close())

	raw, err := base32Bytes(token)
	must(t, err)
	files, err := filepath.Glob(filepath.Dir(path) + "/*")
	must(t, err)
	if len(files) != 3 {
		t.Fatalf("looked at %v", files)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		for _, secret := range [][]byte{[]byte("canary"), []byte(token), raw, []byte(fmt.Sprintf("%x", raw))} {
			if bytes.Contains(b, secret) || bytes.Contains(bytes.ToLower(b), secret) {
				t.Errorf("%s holds %.6q…", filepath.Base(f), secret)
			}
		}
	}
}

func base32Bytes(t store.Token) ([]byte, error) {
	var out []byte
	var acc uint64
	bits := 0
	for _, c := range string(t) {
		v := strings.IndexRune("abcdefghijklmnopqrstuvwxyz234567", c)
		if v < 0 {
			return nil, fmt.Errorf("not base32")
		}
		acc, bits = acc<<5|uint64(v), bits+5
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out, nil
}

func TestChecksumCoversBucketAndKey(t *testing.T) {
	v := frame(bucketLedger, []byte("k"), []byte("content"))
	if got, err := unframe(bucketLedger, []byte("k"), v); err != nil || string(got) != "content" {
		t.Fatalf("got %q, %v", got, err)
	}
	for name, err := range map[string]error{
		"another key":    second(unframe(bucketLedger, []byte("l"), v)),
		"another bucket": second(unframe(bucketLinks, []byte("k"), v)),
		"short":          second(unframe(bucketLedger, []byte("k"), v[:3])),
		"empty":          second(unframe(bucketLedger, []byte("k"), nil)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ []byte, err error) error { return err }
