package engine

import (
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Row is a referral as a database keeps it.
type Row struct {
	store.Referral
	Links []Link
	Entry int64 // number of the ledger entry that counts it, 0 for none
}

// Link is one message that carried a link to this referral. There is more than
// one when a later message took the referral over; see store.Referral.Reoffer.
type Link struct {
	Key  string `json:"k"`
	Hash []byte `json:"h"` // SHA-256 of the token
	Void bool   `json:"v,omitempty"`
}

// link finds the link of a message by its key.
func (r *Row) link(key string) *Link {
	for i := range r.Links {
		if r.Links[i].Key == key {
			return &r.Links[i]
		}
	}
	return nil
}

// linkTo finds a link by the hash of its token.
func (r *Row) linkTo(hash []byte) *Link {
	for i := range r.Links {
		if string(r.Links[i].Hash) == string(hash) {
			return &r.Links[i]
		}
	}
	return nil
}

// PersonKey names a person of a company. A trial run must not use up the one
// offer to a real person, so test mode has persons of its own.
type PersonKey struct {
	Company string
	Test    bool
	Person  store.PersonHash
}

func keyOf(r store.Referral) PersonKey {
	return PersonKey{Company: r.Company, Test: r.Test, Person: r.Person}
}

// Person leads to a person's referral, or says that there was one and the person
// had it erased.
type Person struct {
	ID      string // "" when erased or unknown
	Erased  bool
	Counted bool // an erased referral of this person counts already
}

// Held is a store.Held as a database keeps it.
type Held struct {
	Hash     []byte // SHA-256 of the code
	Referral string
	Consent  *store.Consent // nil once released
	Until    time.Time
}

// Total is the counters of a company with its book.
type Total struct {
	Company string
	Counters
	Book store.Book
}

// Month is the counters of one month (2026-04) under one rule.
type Month struct {
	Month, Rule string
	Counters
}

// Counters are sums of events, test mode left out. They are store.Counts without
// the balance, which only the book gives.
type Counters struct {
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

// Add sums two.
func (c *Counters) Add(d Counters) {
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

func (c Counters) counts(company string, balance store.Credits) store.Counts {
	return store.Counts{
		Company: company, Traffic: store.Traffic{Seen: c.Seen, Matched: c.Matched, Near: c.Near, Inserted: c.Inserted},
		Sent: c.Sent, OpenedHuman: c.OpenedHuman, OpenedMachine: c.OpenedMachine,
		OptedIn: c.OptedIn, OptedOut: c.OptedOut, Withdrawn: c.Withdrawn, HandedOver: c.HandedOver,
		Introduced: c.Introduced, Hired: c.Hired, Purged: c.Purged, Credits: balance,
	}
}
