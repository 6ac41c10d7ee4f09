package store

import (
	"fmt"
	"maps"
	"slices"
)

// AuditReport is the result of reading everything.
type AuditReport struct {
	Companies []CompanyAudit `json:"companies"`
	Journal   ChainHead      `json:"journal"`
	Referrals int64          `json:"referrals"` // rows read
	Problems  []string       `json:"problems"`  // empty when all is well; ids and numbers, no personal data
}

// OK reports whether nothing was found.
func (r *AuditReport) OK() bool { return len(r.Problems) == 0 }

// ChainHead is where a chain ends: whoever notes it can tell later whether
// anything before it was changed.
type ChainHead struct {
	Lines int64  `json:"lines"`
	Head  string `json:"head"` // hash of the last line
}

// CompanyAudit is one company's books, recomputed. Whoever notes the two heads
// can tell later whether anything before them was changed.
type CompanyAudit struct {
	Company string `json:"company"`
	Credits
	PerCredit []int  `json:"per_credit"` // how many rows the live credits were earned by, each number once
	Entries   int64  `json:"entries"`
	Head      string `json:"head"` // hash of the last ledger entry
	Records   int64  `json:"records"`
	Proof     string `json:"proof"` // hash of the last consent record
}

// Auditor recomputes one company's books from their lines alone. Feed it all
// entries and records in order, then Compare with the running state.
type Auditor struct {
	Company  string
	Problems []string

	book    Book
	live    map[string]bool    // counted referrals
	credits map[int64][]string // rows of the live credits
	intros  map[int64]Introduction
}

// NewAuditor begins with empty books, or, after records were deleted at the end
// of their retention, at the stub of the running state.
func NewAuditor(company string, running Book) *Auditor {
	return &Auditor{Company: company, live: map[string]bool{}, credits: map[int64][]string{}, intros: map[int64]Introduction{},
		book: Book{Records: running.Forgotten, Proof: running.Stub}}
}

// Live reports whether a referral counts by the ledger.
func (a *Auditor) Live() map[string]bool { return a.live }

func (a *Auditor) problem(what string, seq int64, format string, args ...any) {
	a.Problems = append(a.Problems, fmt.Sprintf("%s of %s, line %d: ", what, a.Company, seq)+fmt.Sprintf(format, args...))
}

// chained is what the lines of all books have in common: their place in a chain.
type chained struct {
	seq             int64
	prev, hash, sum string // of the line before, as it says of itself, as computed
}

// follows says why a line is not the next one after last, or was changed.
func (l chained) follows(last int64, head string) string {
	switch {
	case l.seq != last+1:
		return fmt.Sprintf("follows line %d", last)
	case l.prev != head:
		return "does not carry the hash of the line before"
	case l.sum != l.hash:
		return "was changed: its hash is another"
	}
	return ""
}

// follow checks that a line is the next one of its book and was not changed.
func (a *Auditor) follow(book, company string, l chained, last int64, head string) {
	why := l.follows(last, head)
	if company != a.Company {
		why = "belongs to another company"
	}
	if why != "" {
		a.problem(book, l.seq, "%s", why)
	}
}

// Entry takes the next ledger entry.
func (a *Auditor) Entry(e Entry) {
	b := &a.book
	a.follow("ledger", e.Company, chained{e.Seq, e.Prev, e.Hash, e.Sum()}, b.Seq, b.Head)
	b.Seq, b.Head = e.Seq, e.Hash
	if why := a.apply(e); why != "" {
		a.problem("ledger", e.Seq, "%s: %s", e.Kind, why)
	}
}

// apply does to the recomputed books what an entry says, and returns why that
// cannot be.
func (a *Auditor) apply(e Entry) string {
	b := &a.book
	switch e.Kind {
	case EntryCount:
		if a.live[e.Referral] {
			return "counted twice"
		}
		a.live[e.Referral] = true
		b.Counted++
		b.Pending = append(b.Pending, e.Referral)
	case EntryReverse:
		if !a.live[e.Referral] {
			return "was not counted"
		}
		delete(a.live, e.Referral)
		b.Counted--
		b.Pending = slices.DeleteFunc(b.Pending, func(id string) bool { return id == e.Referral })
	case EntryEarn:
		return a.earn(e)
	case EntryUnearn:
		rows, ok := a.credits[e.Credit]
		if !ok {
			return "no such credit"
		}
		delete(a.credits, e.Credit)
		b.Fallen++
		rows = slices.DeleteFunc(slices.Clone(rows), func(id string) bool { return !a.live[id] })
		b.Pending = append(rows, b.Pending...)
	default:
		return a.introduction(e)
	}
	return ""
}

func (a *Auditor) earn(e Entry) string {
	b := &a.book
	if e.Credit != b.Credits+1 {
		return fmt.Sprintf("credit %d follows %d", e.Credit, b.Credits)
	}
	b.Credits = e.Credit
	if len(e.Rows) == 0 || len(e.Rows) > len(b.Pending) || !slices.Equal(e.Rows, b.Pending[:len(e.Rows)]) {
		return "not earned by the oldest pending rows"
	}
	b.Pending = slices.Clone(b.Pending[len(e.Rows):])
	a.credits[e.Credit] = e.Rows
	return ""
}

func (a *Auditor) introduction(e Entry) string {
	b := &a.book
	if e.Kind == EntryReserve {
		if e.Credit != b.Introductions+1 {
			return fmt.Sprintf("introduction %d follows %d", e.Credit, b.Introductions)
		}
		if int64(len(a.credits)) <= b.Redeemed {
			return "redeemed without a credit"
		}
		b.Introductions++
		b.Redeemed++
		a.intros[e.Credit] = Introduction{Company: e.Company, Number: e.Credit, State: EntryReserve}
		return ""
	}
	i, ok := a.intros[e.Credit]
	if !ok {
		return "no such introduction"
	}
	if err := i.advance(e.At, e.Kind); err != nil {
		return err.Error()
	}
	a.intros[e.Credit] = i
	if e.Kind == EntryReturn {
		b.Redeemed--
	}
	return ""
}

// Record takes the next consent record.
func (a *Auditor) Record(r Record) {
	b := &a.book
	a.follow("consent book", r.Company, chained{r.Seq, r.Prev, r.Hash, r.Sum()}, b.Records, b.Proof)
	b.Records, b.Proof = r.Seq, r.Hash
}

// Compare holds the recomputed books against the running state: it finds lines
// missing at the end, and a balance that no line explains.
func (a *Auditor) Compare(running Book) CompanyAudit {
	b := a.book
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"counted referrals", running.Counted, b.Counted},
		{"redeemed introductions", running.Redeemed, b.Redeemed},
		{"introductions", running.Introductions, b.Introductions},
		{"credits", running.Credits, b.Credits},
		{"fallen credits", running.Fallen, b.Fallen},
		{"ledger lines", running.Seq, b.Seq},
		{"ledger head", running.Head, b.Head},
		{"consent records", running.Records, b.Records},
		{"consent head", running.Proof, b.Proof},
	} {
		if c.got != c.want {
			a.Problems = append(a.Problems, fmt.Sprintf("%s: %s: the balance says %v, the lines say %v", a.Company, c.what, c.got, c.want))
		}
	}
	if !slices.Equal(running.Pending, b.Pending) {
		a.Problems = append(a.Problems, fmt.Sprintf("%s: the balance names other pending referrals than the lines", a.Company))
	}
	rows := map[int]bool{}
	for _, credit := range a.credits {
		rows[len(credit)] = true
	}
	return CompanyAudit{Company: a.Company, Credits: b.Tally(), PerCredit: slices.Sorted(maps.Keys(rows)),
		Entries: b.Seq, Head: b.Head, Records: b.Records, Proof: b.Proof}
}
