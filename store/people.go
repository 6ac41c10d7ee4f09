package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRetention says that a retention is shorter than the law allows.
var ErrRetention = errors.New("retention is too short")

// People is what happens to a referral after the link. Referrals are named by
// their id, which Lookup and Referrals return; ErrNotFound for an unknown one.
type People interface {
	// Referral returns one referral in whatever state.
	Referral(ctx context.Context, id string) (Referral, error)
	// Referrals returns a page of referrals in the order of their ids. It may be
	// shorter than q.Limit before the end; it is empty only at the end.
	Referrals(ctx context.Context, q Query) ([]Referral, error)
	// Withdraw takes the consent back; within the cooling-off time the count is
	// reversed. The profile is dropped, the proof of consent stays.
	Withdraw(ctx context.Context, id string) (Referral, error)
	// Erase leaves an anonymous row, and a mark that keeps the person from being
	// offered or counted again.
	Erase(ctx context.Context, id string) (Referral, error)
	// Hold keeps a consent that waits for the confirmation of another address
	// (double opt-in); Release opts in with it when the mailed link comes back:
	// ErrNotFound for an unknown code, ErrExpired after h.Until. Withdrawal and
	// erasure end what is held.
	Hold(ctx context.Context, h Held) error
	Release(ctx context.Context, code Token) (Referral, error)
	// SetProfile replaces the sealed profile if it still is was: the candidate
	// corrected it, and the agency is told. ErrWrongState when someone else
	// changed it.
	SetProfile(ctx context.Context, id string, was, profile []byte) error
	// Reseal calls change for each sealed profile, those of held consents included,
	// and keeps what it returns instead; nil leaves a profile as it is. change may
	// be called more than once for one profile, and its error ends the run; another
	// run goes on where it ended. It returns how many were replaced.
	Reseal(ctx context.Context, change func(referral string, profile []byte) ([]byte, error)) (int64, error)
	// Subject returns all that is known of a person of a company; the zero Subject
	// when that is nothing.
	Subject(ctx context.Context, company string, p PersonHash) (Subject, error)
	// HandOver records that the agency got the profile by another way than the
	// outbox: it writes the record of provision and marks the referral. Only the
	// first call after an opt-in does something; ErrWrongState without consent.
	HandOver(ctx context.Context, id string, to Receiver) (Referral, error)
	// SetAgencyState keeps the agency's report on a candidate handed to it.
	SetAgencyState(ctx context.Context, id string, a AgencyState) (Referral, error)
	// Suppress keeps the link from a person of a company for ever, also one who
	// was never offered it; Unsuppress takes that back.
	Suppress(ctx context.Context, company string, p PersonHash) error
	Unsuppress(ctx context.Context, company string, p PersonHash) error
}

// Subject is what is known of one person of one company.
type Subject struct {
	Referrals []Referral // one, and one of test mode
	OptedOut  bool       // the person wants no more links
	Erased    bool       // there was a referral, and the person had it erased
}

// Held is a consent that waits for its confirmation.
type Held struct {
	Code     Token  // of the mailed link: NewToken; stored as a hash only
	Referral string // id
	Consent  Consent
	Until    time.Time
}

// Query selects referrals.
type Query struct {
	Company string    // or "" for all
	State   State     // or "" for all
	From    time.Time // opted in at or after; zero for no limit
	Before  time.Time // opted in before; zero for no limit
	After   string    // the last id of the page before, or ""
	Limit   int       // 100 when not positive; 1000 at most
}

// Size is the number of referrals a page holds at most.
func (q Query) Size() int {
	if q.Limit <= 0 {
		return 100
	}
	return min(q.Limit, 1000)
}

// Match reports whether q selects r.
func (q Query) Match(r Referral) bool {
	return (q.Company == "" || q.Company == r.Company) && (q.State == "" || q.State == r.State) &&
		(q.From.IsZero() || !r.OptedInAt.IsZero() && !r.OptedInAt.Before(q.From)) &&
		(q.Before.IsZero() || !r.OptedInAt.IsZero() && r.OptedInAt.Before(q.Before))
}

// Books are the two chained books of each company and the introductions.
type Books interface {
	// Introductions lists a company's introductions, oldest first.
	Introductions(ctx context.Context, company string) ([]Introduction, error)
	// Advance takes an introduction one step further; ErrWrongState for a step
	// that may not follow, ErrNotFound for an unknown number.
	Advance(ctx context.Context, company string, number int64, step EntryKind, note string) (Introduction, error)
	// Entries and Records return pages of the ledger and of the consent book: up
	// to limit lines with a number above after.
	Entries(ctx context.Context, company string, after int64, limit int) ([]Entry, error)
	Records(ctx context.Context, company string, after int64, limit int) ([]Record, error)
	// Audit reads everything, verifies both chains and recomputes each credit
	// from its rows.
	Audit(ctx context.Context) (AuditReport, error)
	// Months returns a company's counts by month and rule.
	Months(ctx context.Context, company string) ([]Month, error)
}

// Month is what happened in one month (UTC) under one rule.
type Month struct {
	Month string `json:"month"` // 2026-04
	Rule  string `json:"rule"`  // "" for traffic that no rule matched
	Counts
}

// Outbox is the durable list of what the agency is to be told. A store that was
// opened with it adds to it in the same transaction as the event.
type Outbox interface {
	// Claim takes up to limit deliveries that are due and hides them for lease,
	// so that a sender that dies is followed by another. Oldest first.
	Claim(ctx context.Context, limit int, lease time.Duration) ([]Delivery, error)
	// Delivered removes a delivery that the receiver acknowledged. Of one that
	// hands data over it also writes the record of provision and marks the referral.
	Delivered(ctx context.Context, id int64, to Receiver) error
	// Failed puts a delivery back until next; a zero next makes it a dead letter.
	// cause must hold no personal data.
	Failed(ctx context.Context, id int64, cause string, next time.Time) error
	// Deliveries lists what waits and the dead letters, oldest first.
	Deliveries(ctx context.Context) ([]Delivery, error)
	// Requeue makes a dead letter due at once.
	Requeue(ctx context.Context, id int64) error
}

// Event is what a delivery tells.
type Event string

// The events of an outbox.
const (
	EventOptedIn   Event = "opted_in"
	EventChanged   Event = "changed" // the candidate corrected the profile
	EventWithdrawn Event = "withdrawn"
	EventErased    Event = "erased"
)

// Provides reports whether delivering the event hands personal data over.
func (e Event) Provides() bool { return e == EventOptedIn || e == EventChanged }

// Delivery is one thing to tell the agency. Its ID serves as idempotency key: it
// is never used again.
type Delivery struct {
	ID       int64     `json:"id"`
	Event    Event     `json:"event"`
	Referral string    `json:"referral"`
	Company  string    `json:"company"`
	At       time.Time `json:"at"`
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next"` // when it is due
	Error    string    `json:"error,omitempty"`
	Dead     bool      `json:"dead,omitempty"`
}

// Keeper deletes what may not be kept longer.
type Keeper interface {
	// Purge applies the retention to everything and reports what it did, or, with
	// keep.Dry, what it would do.
	Purge(ctx context.Context, keep Retention) (Purged, error)
}

// Retention says how long what is kept. The zero value means the defaults.
type Retention struct {
	Unused    time.Duration // unused referrals after the link's life; 30 days
	Profile   time.Duration // profiles after the hand-over; 30 days
	Withdrawn time.Duration // the person of a withdrawn referral; 30 days
	Letters   time.Duration // dead letters of the outbox; 90 days
	Records   time.Duration // consent and provision records, and the journal; 5 years, never under 3
	Dry       bool          // count only
}

const day = 24 * time.Hour

// MinRecords is how long records of provision must be kept at least: three
// years, counted generously.
const MinRecords = 3 * 366 * day

// WithDefaults fills in what is zero, and refuses less than the law asks.
func (k Retention) WithDefaults() (Retention, error) {
	for _, f := range []struct {
		d   *time.Duration
		std time.Duration
	}{{&k.Unused, 30 * day}, {&k.Profile, 30 * day}, {&k.Withdrawn, 30 * day}, {&k.Letters, 90 * day}, {&k.Records, 5 * 366 * day}} {
		if *f.d == 0 {
			*f.d = f.std
		}
		if *f.d < 0 {
			return k, fmt.Errorf("%w: %v", ErrRetention, *f.d)
		}
	}
	if k.Records < MinRecords {
		return k, fmt.Errorf("%w: records of provision are kept for three years at least (%d days), not %d",
			ErrRetention, MinRecords/day, k.Records/day)
	}
	return k, nil
}

// Purge is what retention does to one referral: nothing, a change of r, or its
// deletion.
func (k Retention) Purge(r *Referral, now time.Time, life time.Duration) (Purged, error) {
	switch r.State {
	case Offered, Sent, Voided, Expired:
		if !now.Before(r.lastSign().Add(life + k.Unused)) {
			return Purged{Unused: 1}, nil
		}
		if r.State != Expired && r.Overdue(now, life) {
			return Purged{Expired: 1}, r.Expire(now)
		}
	case OptedIn:
		if r.Consent.Profile != nil && !r.HandedOverAt.IsZero() && !now.Before(r.HandedOverAt.Add(k.Profile)) {
			c := *r.Consent
			c.Profile = nil
			r.Consent = &c
			return Purged{Profiles: 1}, nil
		}
	case Withdrawn:
		if !now.Before(r.WithdrawnAt.Add(k.Withdrawn)) {
			return Purged{Anonymised: 1}, r.Erase(now, 0)
		}
	}
	return Purged{}, nil
}

// lastSign is when an unused link was last sent.
func (r *Referral) lastSign() time.Time {
	if r.SentAt.After(r.OfferedAt) {
		return r.SentAt
	}
	return r.OfferedAt
}

// Purged is the report of a purge.
type Purged struct {
	Expired    int64 `json:"expired"`    // links that ended
	Unused     int64 `json:"unused"`     // referrals deleted
	Profiles   int64 `json:"profiles"`   // profiles dropped after their hand-over
	Anonymised int64 `json:"anonymised"` // withdrawn referrals made anonymous
	Held       int64 `json:"held"`       // unconfirmed consents deleted
	Letters    int64 `json:"letters"`    // dead letters deleted
	Records    int64 `json:"records"`    // consent and provision records deleted
	Notes      int64 `json:"notes"`      // lines of the journal deleted
}

// Add sums two reports.
func (p *Purged) Add(d Purged) {
	p.Expired += d.Expired
	p.Unused += d.Unused
	p.Profiles += d.Profiles
	p.Anonymised += d.Anonymised
	p.Held += d.Held
	p.Letters += d.Letters
	p.Records += d.Records
	p.Notes += d.Notes
}

// Attribution says for how many companies one person counts.
type Attribution string

// The attributions. FirstCompany needs Consent.Candidate.
const (
	Each         Attribution = "each"          // for every company that he or she opted in for
	FirstCompany Attribution = "first_company" // for the first one only
)

// Full is a store with everything.
type Full interface {
	Store
	People
	Books
	Outbox
	Keeper
	Journal
	Paces
	Dumper
	Copies
}
