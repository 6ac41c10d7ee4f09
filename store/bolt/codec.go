package bolt

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
	"go.etcd.io/bbolt"
)

// The buckets of format 4; docs/store.md describes keys and values.
var (
	bucketMeta       = []byte("meta")       // "identity" → identity, "ping" → time, "trail" → store.Trail
	bucketReferrals  = []byte("referrals")  // referral id → engine.EncodeRow
	bucketLinks      = []byte("links")      // SHA-256 of a token → referral id
	bucketPersons    = []byte("persons")    // company, mode, person → personRecord
	bucketSuppressed = []byte("suppressed") // company, person → time of the opt-out
	bucketCompanies  = []byte("companies")  // company → companyRecord
	bucketMonths     = []byte("months")     // company, month, rule → engine.Counters
	bucketLedger     = []byte("ledger")     // company, seq → store.Entry
	bucketConsents   = []byte("consents")   // company, seq → store.Record
	bucketIntros     = []byte("intros")     // company, number → store.Introduction
	bucketCandidates = []byte("candidates") // candidate hash → id of the referral that counts (first_company)
	bucketOutbox     = []byte("outbox")     // number → store.Delivery
	bucketHeld       = []byte("held")       // SHA-256 of a code → engine.EncodeHeld
	bucketJournal    = []byte("journal")    // number → store.Note
	bucketPaces      = []byte("paces")      // company, slot → store.Pace
	bucketCopies     = []byte("copies")     // day, key of a delivered copy → time

	buckets = [][]byte{bucketMeta, bucketReferrals, bucketLinks, bucketPersons, bucketSuppressed, bucketCompanies,
		bucketMonths, bucketLedger, bucketConsents, bucketIntros, bucketCandidates, bucketOutbox, bucketHeld, bucketJournal,
		bucketPaces, bucketCopies}
)

// appendOnly buckets get their keys in rising order, so their pages are filled
// to 90 % (bbolt's half-full pages are for random keys).
var appendOnly = map[string]bool{string(bucketReferrals): true, string(bucketJournal): true}

const sep = "\x00"

// personRecord leads from a person of a company to the one referral, or says
// that there was one and the person had it erased.
type personRecord struct {
	ID      string `json:"i,omitempty"`
	Erased  bool   `json:"e,omitempty"`
	Counted bool   `json:"n,omitempty"` // an erased referral of this person counts already
}

// companyRecord holds a company's totals.
type companyRecord struct {
	Counters engine.Counters `json:"n"`
	Book     store.Book      `json:"b"`
}

// seqKey is the key of a chained entry: company, 0, big-endian number.
func seqKey(company string, seq int64) []byte {
	return numbered(company+sep, seq)
}

func personKey(company string, test bool, p store.PersonHash) []byte {
	mode := "r"
	if test {
		mode = "t" // a trial run must not use up the one offer to a real person
	}
	return []byte(company + sep + mode + string(p))
}

func suppressedKey(company string, p store.PersonHash) []byte {
	return []byte(company + sep + string(p))
}

func monthKey(company string, at time.Time, rule string) []byte {
	return []byte(company + sep + at.UTC().Format("200601") + sep + rule)
}

// txn is one transaction. Its values carry a CRC-32C over bucket, key and
// content: bbolt does not notice a flipped bit in a value.
type txn struct {
	tx    *bbolt.Tx
	dirty bool // something was written
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(bucket, key, content []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, content)
}

// get returns the content of a key, nil when there is none. It is valid during
// the transaction.
func (t *txn) get(bucket, key []byte) ([]byte, error) {
	b := t.tx.Bucket(bucket)
	if b == nil {
		return nil, damaged("bucket %s is missing", bucket)
	}
	v := b.Get(key)
	if v == nil {
		return nil, nil
	}
	return unframe(bucket, key, v)
}

func unframe(bucket, key, v []byte) ([]byte, error) {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(bucket, key, v[4:]) {
		return nil, damaged("checksum of a record in %s", bucket)
	}
	return v[4:], nil
}

func frame(bucket, key, content []byte) []byte {
	v := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(content)), checksum(bucket, key, content))
	return append(v, content...)
}

func (t *txn) put(bucket, key, content []byte) error {
	b := t.tx.Bucket(bucket)
	if b == nil {
		return damaged("bucket %s is missing", bucket)
	}
	if appendOnly[string(bucket)] {
		b.FillPercent = 0.9
	}
	t.dirty = true
	return b.Put(key, frame(bucket, key, content))
}

func (t *txn) delete(bucket, key []byte) error {
	b := t.tx.Bucket(bucket)
	if b == nil {
		return damaged("bucket %s is missing", bucket)
	}
	t.dirty = true
	return b.Delete(key)
}

// load decodes the JSON value of a key into v, and reports whether there is one.
func (t *txn) load(bucket, key []byte, v any) (bool, error) {
	content, err := t.get(bucket, key)
	if err != nil || content == nil {
		return false, err
	}
	if err := json.Unmarshal(content, v); err != nil {
		return false, damaged("record in %s: %v", bucket, err)
	}
	return true, nil
}

func (t *txn) save(bucket, key []byte, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode record of %s: %w", bucket, err)
	}
	return t.put(bucket, key, content)
}

// scan calls f for each record whose key begins with prefix, in key order.
func (t *txn) scan(bucket, prefix []byte, f func(key, content []byte) error) error {
	b := t.tx.Bucket(bucket)
	if b == nil {
		return damaged("bucket %s is missing", bucket)
	}
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix); k, v = c.Next() {
		content, err := unframe(bucket, k, v)
		if err != nil {
			return err
		}
		if err := f(k, content); err != nil {
			return err
		}
	}
	return nil
}

func damaged(format string, args ...any) error { return engine.Damaged(format, args...) }

func idBytes(id string) ([]byte, error) {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != store.IDLen {
		return nil, damaged("referral id %q", id)
	}
	return b, nil
}
