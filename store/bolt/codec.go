package bolt

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"go.etcd.io/bbolt"
)

// The buckets of format 3; docs/store.md describes keys and values.
var (
	bucketMeta       = []byte("meta")       // "identity" → identity, "ping" → time, "trail" → store.Trail
	bucketReferrals  = []byte("referrals")  // referral id → referralRecord
	bucketLinks      = []byte("links")      // SHA-256 of a token → referral id
	bucketPersons    = []byte("persons")    // company, mode, person → personRecord
	bucketSuppressed = []byte("suppressed") // company, person → time of the opt-out
	bucketCompanies  = []byte("companies")  // company → companyRecord
	bucketMonths     = []byte("months")     // company, month, rule → counters
	bucketLedger     = []byte("ledger")     // company, seq → store.Entry
	bucketConsents   = []byte("consents")   // company, seq → store.Record
	bucketIntros     = []byte("intros")     // company, number → store.Introduction
	bucketCandidates = []byte("candidates") // candidate hash → id of the referral that counts (first_company)
	bucketOutbox     = []byte("outbox")     // number → store.Delivery
	bucketHeld       = []byte("held")       // SHA-256 of a code → heldRecord
	bucketJournal    = []byte("journal")    // number → store.Note
	bucketPaces      = []byte("paces")      // company, slot → store.Pace

	buckets = [][]byte{bucketMeta, bucketReferrals, bucketLinks, bucketPersons, bucketSuppressed, bucketCompanies,
		bucketMonths, bucketLedger, bucketConsents, bucketIntros, bucketCandidates, bucketOutbox, bucketHeld, bucketJournal,
		bucketPaces}
)

// appendOnly buckets get their keys in rising order, so their pages are filled
// to 90 % (bbolt's half-full pages are for random keys).
var appendOnly = map[string]bool{string(bucketReferrals): true, string(bucketJournal): true}

const sep = "\x00"

// micros is a time on disk: microseconds since 1970, 0 for the zero time.
type micros int64

func toMicros(t time.Time) micros {
	if t.IsZero() {
		return 0
	}
	return micros(t.UnixMicro())
}

func (m micros) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// referralRecord is a store.Referral on disk. Short names: they are repeated in
// every record.
type referralRecord struct {
	Company   string           `json:"c"`
	Person    store.PersonHash `json:"p,omitempty"`
	Kind      string           `json:"k,omitempty"`
	Rule      string           `json:"r,omitempty"`
	Language  string           `json:"l,omitempty"`
	Stage     string           `json:"g,omitempty"`
	State     store.State      `json:"s"`
	Test      bool             `json:"t,omitempty"`
	Counted   bool             `json:"n,omitempty"`
	OptedOut  bool             `json:"o,omitempty"`
	OfferedAt micros           `json:"at"`
	SentAt    micros           `json:"st,omitempty"`
	OptedInAt micros           `json:"it,omitempty"`
	Human     int              `json:"h,omitempty"`
	Machine   int              `json:"m,omitempty"`
	Consent   *consentRecord   `json:"y,omitempty"`
	Links     []linkRecord     `json:"w,omitempty"`

	WithdrawnAt  micros            `json:"wt,omitempty"`
	HandedOverAt micros            `json:"ht,omitempty"`
	Agency       store.AgencyState `json:"a,omitempty"`
	AgencyAt     micros            `json:"aa,omitempty"`
	Entry        int64             `json:"e,omitempty"`
}

// linkRecord is one message that carried a link to this referral. There is more
// than one when a later message took the referral over; see Reoffer.
type linkRecord struct {
	Key  string `json:"k"`
	Hash []byte `json:"h"` // SHA-256 of the token
	Void bool   `json:"v,omitempty"`
}

type consentRecord struct {
	TextID     string `json:"i,omitempty"`
	TextSHA256 string `json:"d,omitempty"`
	Locale     string `json:"l,omitempty"`
	At         micros `json:"at"`
	Method     string `json:"m,omitempty"`
	TellBack   bool   `json:"b,omitempty"`
	JobNews    bool   `json:"c,omitempty"`
	Profile    []byte `json:"p,omitempty"`

	Candidate store.PersonHash `json:"x,omitempty"`
}

// row is a referral with its links, as the transactions work on it.
type row struct {
	store.Referral
	links []linkRecord
	entry int64 // number of the ledger entry that counts it, 0 for none
}

func (r *row) record() referralRecord {
	return referralRecord{
		Company: r.Company, Person: r.Person, Kind: r.Kind, Rule: r.Rule, Language: r.Language, Stage: r.Stage,
		State: r.State, Test: r.Test, Counted: r.Counted, OptedOut: r.OptedOut,
		OfferedAt: toMicros(r.OfferedAt), SentAt: toMicros(r.SentAt), OptedInAt: toMicros(r.OptedInAt),
		Human: r.Human, Machine: r.Machine, Consent: toConsentRecord(r.Consent), Links: r.links,
		WithdrawnAt: toMicros(r.WithdrawnAt), HandedOverAt: toMicros(r.HandedOverAt), Agency: r.Agency, AgencyAt: toMicros(r.AgencyAt), Entry: r.entry,
	}
}

func (d *referralRecord) row(id string) *row {
	return &row{links: d.Links, entry: d.Entry, Referral: store.Referral{
		ID: id, Company: d.Company, Person: d.Person, Kind: d.Kind, Rule: d.Rule, Language: d.Language, Stage: d.Stage,
		State: d.State, Test: d.Test, Counted: d.Counted, OptedOut: d.OptedOut,
		OfferedAt: d.OfferedAt.time(), SentAt: d.SentAt.time(), OptedInAt: d.OptedInAt.time(),
		Human: d.Human, Machine: d.Machine, Consent: d.Consent.consent(),
		WithdrawnAt: d.WithdrawnAt.time(), HandedOverAt: d.HandedOverAt.time(), Agency: d.Agency, AgencyAt: d.AgencyAt.time(),
	}}
}

func toConsentRecord(c *store.Consent) *consentRecord {
	if c == nil {
		return nil
	}
	return &consentRecord{TextID: c.TextID, TextSHA256: c.TextSHA256, Locale: c.Locale, At: toMicros(c.At),
		Method: c.Method, TellBack: c.TellBack, JobNews: c.JobNews, Profile: c.Profile, Candidate: c.Candidate}
}

func (d *consentRecord) consent() *store.Consent {
	if d == nil {
		return nil
	}
	return &store.Consent{TextID: d.TextID, TextSHA256: d.TextSHA256, Locale: d.Locale, At: d.At.time(),
		Method: d.Method, TellBack: d.TellBack, JobNews: d.JobNews, Profile: d.Profile, Candidate: d.Candidate}
}

// personRecord leads from a person of a company to the one referral, or says
// that there was one and the person had it erased.
type personRecord struct {
	ID      string `json:"i,omitempty"`
	Erased  bool   `json:"e,omitempty"`
	Counted bool   `json:"n,omitempty"` // an erased referral of this person counts already
}

// heldRecord is a store.Held on disk.
type heldRecord struct {
	Referral string         `json:"r"`
	Consent  *consentRecord `json:"c,omitempty"` // nil once released
	Until    micros         `json:"u"`
}

// companyRecord holds a company's totals.
type companyRecord struct {
	Counters counters   `json:"n"`
	Book     store.Book `json:"b"`
}

func (c *companyRecord) counts(company string) store.Counts {
	return c.Counters.counts(company, c.Book.Tally())
}

// counters are sums of events, test mode left out. They are store.Counts without
// the balance, which only the book gives.
type counters struct {
	Seen          int64 `json:"seen,omitempty"`
	Matched       int64 `json:"match,omitempty"`
	Near          int64 `json:"near,omitempty"`
	Inserted      int64 `json:"ins,omitempty"`
	Sent          int64 `json:"sent,omitempty"`
	OpenedHuman   int64 `json:"human,omitempty"`
	OpenedMachine int64 `json:"mach,omitempty"`
	OptedIn       int64 `json:"in,omitempty"`
	OptedOut      int64 `json:"out,omitempty"`
	Withdrawn     int64 `json:"wdr,omitempty"`
	HandedOver    int64 `json:"hand,omitempty"`
	Introduced    int64 `json:"intro,omitempty"`
	Hired         int64 `json:"hired,omitempty"`
	Purged        int64 `json:"purge,omitempty"`
}

func (c *counters) add(d counters) {
	c.Seen += d.Seen
	c.Matched += d.Matched
	c.Near += d.Near
	c.Inserted += d.Inserted
	c.Sent += d.Sent
	c.OpenedHuman += d.OpenedHuman
	c.OpenedMachine += d.OpenedMachine
	c.OptedIn += d.OptedIn
	c.OptedOut += d.OptedOut
	c.Withdrawn += d.Withdrawn
	c.HandedOver += d.HandedOver
	c.Introduced += d.Introduced
	c.Hired += d.Hired
	c.Purged += d.Purged
}

func (c counters) counts(company string, balance store.Credits) store.Counts {
	return store.Counts{
		Company: company, Traffic: store.Traffic{Seen: c.Seen, Matched: c.Matched, Near: c.Near, Inserted: c.Inserted},
		Sent: c.Sent, OpenedHuman: c.OpenedHuman, OpenedMachine: c.OpenedMachine,
		OptedIn: c.OptedIn, OptedOut: c.OptedOut, Withdrawn: c.Withdrawn, HandedOver: c.HandedOver,
		Introduced: c.Introduced, Hired: c.Hired, Purged: c.Purged, Credits: balance,
	}
}

// seqKey is the key of a chained entry: company, 0, big-endian number.
func seqKey(company string, seq int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(company+sep), uint64(seq))
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

func damaged(format string, args ...any) error {
	return fmt.Errorf("database is damaged: "+format+": %w", append(args, store.ErrUnavailable)...)
}

func idBytes(id string) ([]byte, error) {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != store.IDLen {
		return nil, damaged("referral id %q", id)
	}
	return b, nil
}
