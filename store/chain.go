package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"time"
)

// EntryKind is what a ledger entry does.
type EntryKind string

// The kinds of ledger entries.
const (
	EntryCount   EntryKind = "count"   // Referral counts
	EntryReverse EntryKind = "reverse" // Referral counts no more
	EntryEarn    EntryKind = "earn"    // Rows earned credit number Credit
	EntryUnearn  EntryKind = "unearn"  // credit number Credit fell with one of its rows
	EntryReserve EntryKind = "reserve" // introduction number Credit was redeemed
)

// Entry is one line of a company's credit ledger. Entries are never changed or
// removed; each carries the hash of the one before.
type Entry struct {
	Seq      int64     `json:"seq"` // 1, 2, 3 … per company
	At       time.Time `json:"at"`
	Company  string    `json:"company"`
	Kind     EntryKind `json:"kind"`
	Referral string    `json:"referral,omitempty"` // count, reverse
	Credit   int64     `json:"credit,omitempty"`   // earn, unearn; the introduction's number from reserve on
	Rows     []string  `json:"rows,omitempty"`     // earn: the referrals that earned it
	Note     string    `json:"note,omitempty"`
	Prev     string    `json:"prev"` // hash of entry Seq-1, "" for the first
	Hash     string    `json:"hash"`
}

// Sum is the hash that an unchanged entry carries.
func (e Entry) Sum() string {
	fields := []string{"careerrelay ledger 1", e.Prev, strconv.FormatInt(e.Seq, 10), instant(e.At), e.Company,
		string(e.Kind), e.Referral, strconv.FormatInt(e.Credit, 10), e.Note, strconv.Itoa(len(e.Rows))}
	return digest(append(fields, e.Rows...)...)
}

// RecordKind is what a consent record proves.
type RecordKind string

// The kinds of consent records.
const (
	RecordConsent RecordKind = "consent" // the candidate agreed to a text
)

// Record is one line of a company's consent book: the proof of what a candidate
// agreed to. It holds no profile, so that it can outlive it, and is chained like
// the ledger.
type Record struct {
	Seq        int64      `json:"seq"`
	At         time.Time  `json:"at"`
	Company    string     `json:"company"`
	Kind       RecordKind `json:"kind"`
	Referral   string     `json:"referral"`
	Person     PersonHash `json:"person"`
	TextID     string     `json:"text_id,omitempty"`
	TextSHA256 string     `json:"text_sha256,omitempty"`
	Locale     string     `json:"locale,omitempty"`
	Method     string     `json:"method,omitempty"`
	TellBack   bool       `json:"tell_back,omitempty"`
	JobNews    bool       `json:"job_news,omitempty"`
	Prev       string     `json:"prev"`
	Hash       string     `json:"hash"`
}

// Sum is the hash that an unchanged record carries.
func (r Record) Sum() string {
	return digest("careerrelay consent 1", r.Prev, strconv.FormatInt(r.Seq, 10), instant(r.At), r.Company,
		string(r.Kind), r.Referral, string(r.Person), r.TextID, r.TextSHA256, r.Locale, r.Method,
		strconv.FormatBool(r.TellBack), strconv.FormatBool(r.JobNews))
}

// ConsentRecord is the proof of r's consent, not chained yet.
func ConsentRecord(r Referral) Record {
	c := r.Consent
	return Record{At: r.OptedInAt, Company: r.Company, Kind: RecordConsent, Referral: r.ID, Person: r.Person,
		TextID: c.TextID, TextSHA256: c.TextSHA256, Locale: c.Locale, Method: c.Method,
		TellBack: c.TellBack, JobNews: c.JobNews}
}

// Book is the running state of one company's ledger and consent book: what an
// implementation keeps beside the entries, so that it need not read them all to
// add one. Its methods return the entries to append; they do no I/O.
type Book struct {
	Counted  int64    `json:"counted"`           // referrals that count now
	Redeemed int64    `json:"redeemed"`          // introductions in use
	Credits  int64    `json:"credits,omitempty"` // number of the last credit earned
	Pending  []string `json:"pending,omitempty"` // counted referrals that no credit used yet, oldest first
	Seq      int64    `json:"seq"`               // last ledger entry
	Head     string   `json:"head"`              // its hash
	Records  int64    `json:"records"`           // last consent record
	Proof    string   `json:"proof"`             // its hash
}

// Tally is the company's balance.
func (b *Book) Tally(ratio int) Credits { return Tally(b.Counted, b.Redeemed, ratio) }

// Count adds a referral, and the credit that it may complete. Which referrals
// earned a credit is written with it, so that anyone can recompute it.
func (b *Book) Count(now time.Time, r Referral, ratio int) []Entry {
	b.Counted++
	b.Pending = append(b.Pending, r.ID)
	entries := []Entry{b.link(now, Entry{Company: r.Company, Kind: EntryCount, Referral: r.ID})}
	return append(entries, b.earn(now, r.Company, ratio)...)
}

// earn turns pending referrals into credits.
func (b *Book) earn(now time.Time, company string, ratio int) []Entry {
	var entries []Entry
	for Tally(int64(len(b.Pending)), 0, ratio).Earned > 0 {
		rows := slices.Clone(b.Pending[:perCredit(ratio)])
		b.Pending = slices.Delete(b.Pending, 0, len(rows))
		b.Credits++
		entries = append(entries, b.link(now, Entry{Company: company, Kind: EntryEarn, Credit: b.Credits, Rows: rows}))
	}
	return entries
}

// Redeem uses one credit; ErrNoCredit when there is none.
func (b *Book) Redeem(now time.Time, company, note string, ratio int) (Entry, error) {
	c := b.Tally(ratio)
	if err := c.Redeem(); err != nil {
		return Entry{}, err
	}
	b.Redeemed = c.Redeemed
	return b.link(now, Entry{Company: company, Kind: EntryReserve, Credit: b.Redeemed, Note: note}), nil
}

// Prove chains a consent record.
func (b *Book) Prove(r Record) Record {
	b.Records++
	r.Seq, r.At, r.Prev = b.Records, Clock(r.At), b.Proof
	r.Hash = r.Sum()
	b.Proof = r.Hash
	return r
}

func (b *Book) link(now time.Time, e Entry) Entry {
	b.Seq++
	e.Seq, e.At, e.Prev = b.Seq, Clock(now), b.Head
	e.Hash = e.Sum()
	b.Head = e.Hash
	return e
}

func instant(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// digest hashes fields with their lengths, so that no text can move from one
// field into the next.
func digest(fields ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, f := range fields {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		io.WriteString(h, f)
	}
	return hex.EncodeToString(h.Sum(nil))
}
