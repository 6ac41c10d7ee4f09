// Package engine carries out the steps of store.Full, once for all databases. A
// database brings transactions: where things are kept, and how they are locked.
// What happens to them is decided here, with the pure rules of package store.
//
//	store.Full ── Engine ──┬── store/bolt
//	                       └── store/postgres
//
// # Locks
//
// A database with several writers at a time locks what a transaction reads in
// order to change it. Every step takes its locks in the same order, so that no
// two wait for each other: referral, delivery, book, journal, counters.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// DB is a database.
type DB interface {
	// Read runs do in a read transaction: what it sees belongs to one moment.
	Read(ctx context.Context, do func(Tx) error) error
	// Write runs do in a transaction, which is durable when Write returns nil. do
	// may run again: it must begin anew each time, assign its results and never
	// append to them.
	Write(ctx context.Context, do func(Tx) error) error
}

// Tx is one transaction. Lists come in the order of their keys. In a Write, the
// methods that say so lock what they return until the end of the transaction.
type Tx interface {
	Referrals
	Persons
	Books
	Outbox
	Helds
	Journal
	Paces
	Dumps
	Copies
}

// Referrals are the rows and the links that lead to them.
type Referrals interface {
	// Row returns a referral, locked; store.ErrNotFound for an id without one.
	Row(id string) (*Row, error)
	PutRow(r *Row) error
	DeleteRow(id string) error
	// Rows returns up to limit referrals with ids after q.After, unlocked. It may
	// leave out what q does not match, and need not.
	Rows(q store.Query, limit int) ([]*Row, error)
	// IDs returns up to limit ids that follow after.
	IDs(after string, limit int) ([]string, error)
	// Link returns the referral's id that a link's hash leads to; "" for none.
	Link(hash []byte) (string, error)
	// AddLink makes a hash lead to a referral, unless it leads to another one: it
	// returns where it leads.
	AddLink(hash []byte, id string) (string, error)
	DeleteLink(hash []byte) error
}

// Persons lead from a person of a company to the one referral.
type Persons interface {
	// Person returns what is known of a person; the zero Person for nothing. Its
	// referral is locked as Row locks it.
	Person(k PersonKey) (Person, error)
	PutPerson(k PersonKey, p Person) error
	DeletePerson(k PersonKey) error
	Suppressed(company string, p store.PersonHash) (bool, error)
	PutSuppressed(company string, p store.PersonHash, at time.Time) error
	DeleteSuppressed(company string, p store.PersonHash) error
	// Candidate returns the id of the referral that counts for a person of several
	// companies (first_company); "" for none.
	Candidate(p store.PersonHash) (string, error)
	PutCandidate(p store.PersonHash, id string) error
	DeleteCandidate(p store.PersonHash) error
}

// Books are the chained books of the companies, and their counters.
type Books interface {
	// Book returns a company's book, locked; the zero Book when there is none.
	Book(company string) (store.Book, error)
	PutBook(company string, b store.Book) error
	// Count adds to a company's counters, and to those of the month and the rule.
	Count(company, rule string, at time.Time, c Counters) error
	// Totals returns the counters of one company, or of all ("") that have any.
	Totals(company string) ([]Total, error)
	Months(company string) ([]Month, error)

	AppendEntries(entries ...store.Entry) error
	AppendRecord(r store.Record) error
	// Entries and Records return up to limit lines with numbers from from on.
	Entries(company string, from int64, limit int) ([]store.Entry, error)
	Records(company string, from int64, limit int) ([]store.Record, error)
	// DeleteRecords deletes the records with numbers up to to.
	DeleteRecords(company string, to int64) error

	// Introduction returns one; store.ErrNotFound for an unknown number.
	Introduction(company string, number int64) (store.Introduction, error)
	PutIntroduction(i store.Introduction) error
	Introductions(company string) ([]store.Introduction, error)
}

// Outbox is what the agency is to be told.
type Outbox interface {
	// AddDelivery keeps a new delivery under an id of its own.
	AddDelivery(d store.Delivery) error
	// Delivery returns a delivery; store.ErrNotFound for an unknown one.
	Delivery(id int64) (store.Delivery, error)
	// LockDelivery is Delivery, locked.
	LockDelivery(id int64) (store.Delivery, error)
	PutDelivery(d store.Delivery) error
	DeleteDelivery(id int64) error
	// Due returns up to limit deliveries that are due, locked. Those that another
	// transaction has locked are left out.
	Due(now time.Time, limit int) ([]store.Delivery, error)
	// DeliveriesOf returns the deliveries about a referral, locked.
	DeliveriesOf(referral string) ([]store.Delivery, error)
	Deliveries() ([]store.Delivery, error)
}

// Helds are the consents that wait for their confirmation.
type Helds interface {
	// Held returns the consent of a code's hash; store.ErrNotFound for an unknown one.
	Held(hash []byte) (Held, error)
	PutHeld(h Held) error
	DeleteHeld(hash []byte) error
	// DropHeld ends what a referral waits for.
	DropHeld(referral string) error
	// Helds returns all of them.
	Helds() ([]Held, error)
}

// Journal is the chained journal.
type Journal interface {
	// Trail returns the running state of the journal, locked.
	Trail() (store.Trail, error)
	PutTrail(t store.Trail) error
	PutNote(n store.Note) error
	// Notes returns up to limit lines with numbers from from on, oldest first.
	Notes(from int64, limit int) ([]store.Note, error)
	// DeleteNotes deletes the lines with numbers up to to.
	DeleteNotes(to int64) error
}

// Paces is the memory of the burst guard.
type Paces interface {
	// AddPace adds to the counts of p's slot.
	AddPace(p store.Pace) error
	// Paces returns a company's slots that begin at or after since.
	Paces(company string, since time.Time) ([]store.Pace, error)
	// DeletePaces deletes a company's slots that begin before an instant.
	DeletePaces(company string, before time.Time) error
}

// Dumps is what only a dump and its loading need.
type Dumps interface {
	EachErased(do func(Erased) error) error
	EachSuppressed(do func(Suppression) error) error
	EachCandidate(do func(Candidate) error) error
	EachCopy(do func(Copy) error) error
	// LastDelivery is the last number that a delivery got, also one that is gone.
	LastDelivery() (int64, error)
	SetLastDelivery(id int64) error
	// Progress returns how far the loading of a dump into this store has come, nil
	// when none is unfinished.
	Progress() (*Progress, error)
	PutProgress(p *Progress) error // nil ends it
}

// Copies are the copies of messages that were delivered.
type Copies interface {
	// AddCopy keeps a copy with its time; a later time takes the place of an earlier one.
	AddCopy(key string, at time.Time) error
	// HasCopy tells whether the copy has a time after since.
	HasCopy(key string, since time.Time) (bool, error)
	// DeleteCopies deletes copies with times before an instant; some of the last
	// day before it may stay.
	DeleteCopies(before time.Time) error
}

// Options of an engine.
type Options struct {
	store.Policy
	// LookFirst reads before a Write that may find nothing to do, for a database
	// where that costs as much as a commit.
	LookFirst bool
}

// Engine is a store.Full but for Ping and Close, which are the database's. Safe
// for concurrent use.
type Engine struct {
	db  DB
	opt Options
	ids store.IDs
}

// New makes an engine on a database.
func New(db DB, o Options) *Engine {
	o.Policy = o.Policy.WithDefaults()
	return &Engine{db: db, opt: o}
}

// After makes the next referral ids greater than one that exists already.
func (e *Engine) After(id string) { e.ids.After(id) }

func (e *Engine) now() time.Time { return store.Clock(e.opt.Now()) }

// ErrDamaged says that the database contradicts itself. Without a lock it may be
// a change that happened between two readings: then a second try sees it whole.
var ErrDamaged = errors.New("database is damaged")

// Damaged makes an error that wraps ErrDamaged and store.ErrUnavailable.
func Damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+": %w", append(append([]any{ErrDamaged}, args...), store.ErrUnavailable)...)
}

func wrap(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}
