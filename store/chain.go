package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
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

	// The steps of introduction number Credit; see Introduction.
	EntryIntroduce EntryKind = "introduce"
	EntryHire      EntryKind = "hire"
	EntryNotHired  EntryKind = "not_hired"
	EntryClose     EntryKind = "close"
	EntryReturn    EntryKind = "return"
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

	// Programme of a count: KindLeaver, or "" for a candidate who was declined.
	Programme string `json:"programme,omitempty"`

	Note string `json:"note,omitempty"`
	Prev string `json:"prev"` // hash of entry Seq-1, "" for the first
	Hash string `json:"hash"`
}

// Sum is the hash that an unchanged entry carries.
func (e Entry) Sum() string {
	fields := []string{"careerrelay ledger 1", e.Prev, strconv.FormatInt(e.Seq, 10), instant(e.At), e.Company,
		string(e.Kind), e.Referral, strconv.FormatInt(e.Credit, 10), e.Note, strconv.Itoa(len(e.Rows))}
	fields = append(fields, e.Rows...)
	if e.Programme != "" { // came later: lines without it keep their hash
		fields = append(fields, e.Programme)
	}
	return digest(fields...)
}

// RecordKind is what a consent record proves.
type RecordKind string

// The kinds of consent records.
const (
	RecordConsent    RecordKind = "consent"    // the candidate agreed to a text
	RecordProvision  RecordKind = "provision"  // the profile was handed to Receiver
	RecordWithdrawal RecordKind = "withdrawal" // the candidate took the consent back
	RecordErasure    RecordKind = "erasure"    // the candidate's data were erased
)

// Receiver is who got a profile, and what of it: the record of provision that
// the law on personal information asks for (article 29).
type Receiver struct {
	Name    string   `json:"name"`             // legal name
	Address string   `json:"address"`          // legal address
	Fields  []string `json:"fields,omitempty"` // names of the fields handed over
	Ack     string   `json:"ack,omitempty"`    // the receiver's acknowledgement id
}

// Record is one line of a company's consent book: the proof of what a candidate
// agreed to and of what was done with it. It holds no profile, so that it can outlive it, and is chained like
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
	Receiver   Receiver   `json:"receiver,omitzero"` // provision
	Prev       string     `json:"prev"`
	Hash       string     `json:"hash"`
}

// Sum is the hash that an unchanged record carries.
func (r Record) Sum() string {
	fields := []string{"careerrelay consent 1", r.Prev, strconv.FormatInt(r.Seq, 10), instant(r.At), r.Company,
		string(r.Kind), r.Referral, string(r.Person), r.TextID, r.TextSHA256, r.Locale, r.Method,
		strconv.FormatBool(r.TellBack), strconv.FormatBool(r.JobNews),
		r.Receiver.Name, r.Receiver.Address, r.Receiver.Ack, strconv.Itoa(len(r.Receiver.Fields))}
	return digest(append(fields, r.Receiver.Fields...)...)
}

// NewRecord is a proof about r, with what its consent says; not chained yet.
func NewRecord(kind RecordKind, r Referral, now time.Time) Record {
	rec := Record{At: now, Company: r.Company, Kind: kind, Referral: r.ID, Person: r.Person}
	if c := r.Consent; c != nil {
		rec.TextID, rec.TextSHA256, rec.Locale, rec.Method = c.TextID, c.TextSHA256, c.Locale, c.Method
		rec.TellBack, rec.JobNews = c.TellBack, c.JobNews
	}
	return rec
}

// Book is the running state of one company's ledger and consent book: what an
// implementation keeps beside the entries, so that it need not read them all to
// add one. Its methods return the entries to append; they do no I/O.
type Book struct {
	Counted       int64    `json:"counted"`                 // referrals that count now
	Redeemed      int64    `json:"redeemed"`                // introductions reserved and not returned
	Introductions int64    `json:"introductions,omitempty"` // number of the last introduction
	Credits       int64    `json:"credits,omitempty"`       // number of the last credit earned
	Fallen        int64    `json:"fallen,omitempty"`        // credits that fell with one of their rows
	Pending       []string `json:"pending,omitempty"`       // counted referrals that no credit used yet, oldest first
	Seq           int64    `json:"seq"`                     // last ledger entry
	Head          string   `json:"head"`                    // its hash
	Records       int64    `json:"records"`                 // last consent record
	Proof         string   `json:"proof"`                   // its hash
	Forgotten     int64    `json:"forgotten,omitempty"`     // last consent record deleted after its retention
	Stub          string   `json:"stub,omitempty"`          // its hash, from which the chain goes on
}

// Tally is the company's balance. A credit was earned under the ratio of its
// time: another ratio holds for what is pending and what comes.
func (b *Book) Tally() Credits {
	return Credits{Counted: b.Counted, Earned: b.Credits - b.Fallen, Redeemed: b.Redeemed}
}

// Count adds a referral, and the credit that it may complete. Which referrals
// earned a credit is written with it, so that anyone can recompute it.
func (b *Book) Count(now time.Time, r Referral, ratio int) []Entry {
	b.Counted++
	b.Pending = append(b.Pending, r.ID)
	e := Entry{Company: r.Company, Kind: EntryCount, Referral: r.ID}
	if r.Kind != KindRejection {
		e.Programme = r.Kind
	}
	entries := []Entry{b.link(now, e)}
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

// Reverse takes a referral's count back. earned is the entry of the live credit
// that the referral belongs to, nil when it is pending. That credit falls, and
// its other rows count towards the next one, at once where enough are pending.
func (b *Book) Reverse(now time.Time, r Referral, earned *Entry, ratio int) []Entry {
	b.Counted--
	entries := []Entry{b.link(now, Entry{Company: r.Company, Kind: EntryReverse, Referral: r.ID})}
	if earned != nil {
		b.Fallen++
		entries = append(entries, b.link(now, Entry{Company: r.Company, Kind: EntryUnearn, Credit: earned.Credit}))
		b.Pending = append(slices.Clone(earned.Rows), b.Pending...)
	}
	b.Pending = slices.DeleteFunc(b.Pending, func(id string) bool { return id == r.ID })
	return append(entries, b.earn(now, r.Company, ratio)...)
}

// Redeem uses one credit for the next introduction; ErrNoCredit when there is
// none.
func (b *Book) Redeem(now time.Time, company, note string) (Introduction, Entry, error) {
	c := b.Tally()
	if err := c.Redeem(); err != nil {
		return Introduction{}, Entry{}, err
	}
	b.Redeemed = c.Redeemed
	b.Introductions++
	i := Introduction{Company: company, Number: b.Introductions, State: EntryReserve, Note: note,
		ReservedAt: Clock(now), ChangedAt: Clock(now)}
	return i, b.link(now, Entry{Company: company, Kind: EntryReserve, Credit: i.Number, Note: note}), nil
}

// Advance takes an introduction one step further. A returned one gives its
// credit back.
func (b *Book) Advance(now time.Time, i *Introduction, step EntryKind, note string) (Entry, error) {
	if err := i.advance(now, step); err != nil {
		return Entry{}, err
	}
	if step == EntryReturn {
		b.Redeemed--
	}
	return b.link(now, Entry{Company: i.Company, Kind: step, Credit: i.Number, Note: note}), nil
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

// Introduction is one free introduction: a credit in use.
type Introduction struct {
	Company    string    `json:"company"`
	Number     int64     `json:"number"` // 1, 2, 3 … per company
	State      EntryKind `json:"state"`  // the last step
	Note       string    `json:"note,omitempty"`
	ReservedAt time.Time `json:"reserved_at"`
	ChangedAt  time.Time `json:"changed_at"`
}

// introductionSteps says which steps may follow a state: reserved → introduced →
// hired or not hired → closed; returned before anyone is hired.
var introductionSteps = map[EntryKind][]EntryKind{
	EntryReserve:   {EntryIntroduce, EntryReturn},
	EntryIntroduce: {EntryHire, EntryNotHired, EntryReturn},
	EntryHire:      {EntryClose},
	EntryNotHired:  {EntryClose, EntryReturn},
}

func (i *Introduction) advance(now time.Time, step EntryKind) error {
	if !slices.Contains(introductionSteps[i.State], step) {
		return fmt.Errorf("introduction %d: %s after %s: %w", i.Number, step, i.State, ErrWrongState)
	}
	i.State, i.ChangedAt = step, Clock(now)
	return nil
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
