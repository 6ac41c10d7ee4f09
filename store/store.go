// Package store is the contract for what Career Relay keeps: referrals, the
// consent given to them, suppressions, traffic counts and the credit ledger.
//
// It holds no database code. The states of a referral and the ten-to-one
// arithmetic of credits are pure functions here; store/bolt (and any other
// implementation) runs them inside its own transactions, so that each business
// rule exists once. store/storetest is the contract as a test suite.
//
// What a store never holds in readable form: tokens (only their SHA-256), the
// candidate's address (only a keyed hash), profiles (sealed before they arrive
// here) and any content of a message.
//
// # States
//
//	state      true when                                        counts
//	offered    committed, the upstream has not said yes          no
//	sent       the upstream answered 2xx to the whole message    no
//	opted_in   the candidate agreed on the page                  yes
//	void       the upstream refused the message for good         no
//	withdrawn  the candidate took the consent back               see OptIn
//	erased     the candidate's data were erased                  see OptIn
//	expired    nobody used the link in its life time             no
package store

import (
	"context"
	"errors"
	"time"
)

// Errors that callers branch on. Implementations wrap them with context.
var (
	ErrNotFound    = errors.New("no such referral")             // unknown and void tokens look alike
	ErrExpired     = errors.New("referral has expired")         // the link outlived its life time
	ErrSuppressed  = errors.New("candidate opted out")          // Offer: no block for this person and company, for ever
	ErrOffered     = errors.New("candidate was offered before") // Offer: another message carried the link to this person
	ErrWrongState  = errors.New("transition not allowed")       // a step that the referral's state forbids
	ErrNoCredit    = errors.New("no credit to redeem")          // Redeem: nothing left
	ErrUnavailable = errors.New("store unavailable")            // damaged, full, closed or locked; mail goes on unedited
)

// Store keeps referrals. All methods are safe for concurrent use, honour ctx
// until their transaction starts, and are durable when they return nil.
// Repeating a step is no error.
type Store interface {
	// Offer records that a message is about to carry o.Token. The same o.Key
	// gives the same referral again (a retry; a void one revives). It fails with
	// ErrSuppressed after an opt-out and with ErrOffered when another message
	// already brought the link to this person of this company.
	Offer(ctx context.Context, o Offer) (Referral, error)
	// Confirm: the upstream answered 2xx. opted_in never goes back to sent.
	Confirm(ctx context.Context, t Token) error
	// Void: the upstream refused the message for good (5xx).
	Void(ctx context.Context, t Token) error
	// Lookup returns the referral of a link; ErrNotFound for unknown and void
	// ones, ErrExpired after its life time.
	Lookup(ctx context.Context, t Token) (Referral, error)
	// View counts one view of the page, by a person or by a machine.
	View(ctx context.Context, t Token, machine bool) error
	// OptIn records consent. It is counted once per company and person.
	OptIn(ctx context.Context, t Token, c Consent) (Referral, error)
	// OptOut suppresses the person for this company; OptBack takes that back.
	OptOut(ctx context.Context, t Token) error
	OptBack(ctx context.Context, t Token) error
	// Add adds traffic counts that do not belong to a referral (seen, matched …);
	// rule is the one that decided, "" where none did.
	Add(ctx context.Context, company, rule string, d Traffic) error
	// Report returns the counts of one company, or of all ("").
	Report(ctx context.Context, company string) ([]Counts, error)
	// Credits are the free introductions a company has earned and used.
	Credits(ctx context.Context, company string) (Credits, error)
	// Redeem uses one credit for an introduction; ErrNoCredit when there is none.
	// Of two that redeem the last one at once, one gets it.
	Redeem(ctx context.Context, company, note string) (Introduction, error)
	// Ping tells whether the store can commit now (readiness).
	Ping(ctx context.Context) error
	Close() error
}

// Offer is what is recorded before an edited message goes upstream.
type Offer struct {
	Key      string     // message key and person, hashed: see Keys.Key
	Token    Token      // see Keys.Token; stored as a hash only
	Company  string     // company id
	Person   PersonHash // see Keys.Person
	Kind     string     // KindRejection or KindLeaver
	Rule     string     // rule id
	Language string     // "ja" or "en"
	Stage    string     // selection stage the mail speaks of, or ""
	Test     bool       // test mode: never counted
	Asked    bool       // the person asked for the link: neither an opt-out nor an earlier offer stands in the way
}

// The kinds of offers: two programmes with consent texts and wordings of their own.
const (
	KindRejection = "rejection" // a candidate was declined
	KindLeaver    = "leaver"    // somebody leaves the company
)

// State is a referral's place in its life; see the package comment.
type State string

// The states of a referral.
const (
	Offered   State = "offered"
	Sent      State = "sent"
	OptedIn   State = "opted_in"
	Voided    State = "void"
	Withdrawn State = "withdrawn"
	Erased    State = "erased"
	Expired   State = "expired"
)

// Referral is what is kept about one candidate and one company.
type Referral struct {
	ID        string     // time-ordered
	Company   string     // company id
	Person    PersonHash // keyed hash of the normalised address
	Kind      string     // KindRejection or KindLeaver
	Rule      string     // rule id
	Language  string     // "ja" or "en"
	Stage     string     // or ""
	State     State      //
	Test      bool       // never counted
	Counted   bool       // this row counts towards a credit
	OptedOut  bool       // the person is suppressed for this company
	OfferedAt time.Time  // UTC, microseconds
	SentAt    time.Time  // zero until confirmed
	OptedInAt time.Time  // zero until opted in
	Human     int        // views by people
	Machine   int        // views by machines
	Consent   *Consent   // nil until opted in

	WithdrawnAt  time.Time   // zero unless withdrawn
	HandedOverAt time.Time   // zero until the agency acknowledged the data
	Agency       AgencyState // what the agency reported last, or ""
	AgencyAt     time.Time   // when it reported that; zero until then
}

// AgencyState is how far the agency says it has come with a candidate.
type AgencyState string

// The agency's reports, in their usual order.
const (
	Contacted   AgencyState = "contacted"
	Introduced  AgencyState = "introduced"
	Interviewed AgencyState = "interviewed"
	Hired       AgencyState = "hired"
)

// Consent is what the candidate agreed to. The profile arrives sealed.
type Consent struct {
	TextID     string    // id of the immutable text agreed to
	TextSHA256 string    // hex digest of that text
	Locale     string    // "ja" or "en"
	At         time.Time // UTC
	Method     string    // "typed_address", "confirmed_address"
	TellBack   bool      // box (b): the company may learn that I registered
	JobNews    bool      // box (c): job news by mail
	Profile    []byte    // sealed JSON; see Sealer

	// Candidate is Keys.Candidate of the address. It is set only under the
	// first_company attribution, and joins the companies of one person.
	Candidate PersonHash
}

// Traffic counts messages that leave no referral.
type Traffic struct {
	Seen     int64 // messages that reached the decision
	Matched  int64 // of these: verdict rejection or leaver
	Near     int64 // of seen: no verdict, though a rule found what it needs: too little for it, or more against it
	Inserted int64 // of matched: edited, proven, handed to the upstream
}

// Counts is one company's report row.
type Counts struct {
	Company string `json:"company"`
	Traffic
	Sent          int64 `json:"sent"`
	OpenedHuman   int64 `json:"opened_human"`
	OpenedMachine int64 `json:"opened_machine"`
	OptedIn       int64 `json:"opted_in"`
	OptedOut      int64 `json:"opted_out"`
	Withdrawn     int64 `json:"withdrawn"`
	HandedOver    int64 `json:"handed_over"`
	Introduced    int64 `json:"introduced"` // candidates, by the agency's report
	Hired         int64 `json:"hired"`      // candidates, by the agency's report
	Purged        int64 `json:"purged"`     // referrals deleted after their time
	Credits
}

// Credits is the arithmetic of free introductions; made only by Tally.
type Credits struct {
	Counted  int64 `json:"counted"`  // referrals that count
	Earned   int64 `json:"earned"`   // floor(counted / ratio)
	Redeemed int64 `json:"redeemed"` // used
}
