package smtp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/store"
)

// Referrals is what a message needs of the store.
type Referrals interface {
	Offer(ctx context.Context, o store.Offer) (store.Referral, error)
	Confirm(ctx context.Context, t store.Token) error
	Void(ctx context.Context, t store.Token) error
	Add(ctx context.Context, company, rule string, d store.Traffic) error
	store.Paces
	store.Copies
}

// Mode says how much the relay does for a company.
type Mode string

// The modes.
const (
	Insert  Mode = "insert"
	Observe Mode = "observe" // decide and count, change nothing
	Off     Mode = "off"     // pass everything on
)

// DKIM says what happens to a message that is signed already.
type DKIM string

// The policies for signed mail.
const (
	SkipSigned   DKIM = "skip"   // pass unedited: an edit would break the signature
	InsertSigned DKIM = "insert" // edit: a hop after us signs
	Resign       DKIM = "resign" // edit, and sign anew with our key for the sender's domain
)

// Recipients says what happens to a message with several candidates.
type Recipients string

// The policies for several candidates.
const (
	PassSeveral  Recipients = "pass"  // unedited
	SplitSeveral Recipients = "split" // one transaction and one link for each
)

// Rules decide about a message; *rewrite.Rules does.
type Rules interface {
	Decide(r *rewrite.Reading, env rewrite.Envelope) rewrite.Verdict
}

// Options configure a Proxy. Hostname, Companies, Referrals, Keys, Link and
// StampKey are required.
type Options struct {
	Companies []Company
	Hostname  string // ours, fully qualified: greeting, EHLO, Received
	Referrals Referrals
	Keys      *store.Keys
	// Link returns the address of a candidate's page and of its opt-out page. With
	// no token it returns what all of the company's links begin with.
	Link     func(company string, t store.Token) (link, optOut string)
	StampKey []byte

	TLS           *tls.Config // nil: no STARTTLS, and no AUTH but PassAuth on loopback; certificates through GetCertificate
	ProxyProtocol []netip.Prefix
	RejectBareLF  bool // refuse a bare LF instead of making it CRLF
	Limits        Limits
	Timeouts      Timeouts

	// Paused tells whether a company's mail goes unedited for the moment; nil: never.
	Paused     func(company string) bool
	Now        func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: a registry of its own
}

// Company is one company whose mail passes through.
type Company struct {
	ID          string
	Domains     []string
	Networks    []netip.Prefix // clients that may send without a password
	OwnSenders  bool           // without a login only senders at Domains, and the null path
	Users       []User         // clients that may send with one
	ClientNames []string       // names in client certificates that may send
	// PassAuth hands logins on to Upstream, which decides about them; each such client
	// has a connection upstream of its own. Users then names those who may log in (empty:
	// all that the upstream knows) and their sender domains; their hashes are not used.
	PassAuth bool

	Upstream *Upstream // where the mail goes; closed with the Proxy, or when no company has it any more
	Mode     Mode      // "" is insert
	Test     bool      // links work, nothing is counted

	Rules   Rules
	Release []string // rules that may insert; empty for all
	// Block renders the text that is inserted; false if there is none for the
	// verdict's language.
	Block       func(v rewrite.Verdict, link, optOut string) (rewrite.Block, bool)
	DKIM        DKIM         // "" is skip
	SigningKeys []SigningKey // for resign; several of one domain sign all
	Recipients  Recipients
	Burst       Burst

	upstream upstream // the seams for tests
	editor   editor
}

// User is a client that logs in.
type User struct {
	Name    string
	Hash    string   // bcrypt or argon2id, in the usual text form
	Domains []string // sender domains the user is bound to; empty for any
}

// Burst bounds insertions of one company within a time: to Insertions, or to
// Factor times the most that its busiest window of the last four weeks had,
// whichever is more. Zero Insertions: no bound.
type Burst struct {
	Insertions int
	Factor     int
	Window     time.Duration // whole slots of store.PaceSlot
}

// Limits bound what clients may use; a zero takes the default in brackets.
type Limits struct {
	MessageSize      int64 // bytes of one message [50 MB]
	Window           int64 // bytes of one message that stay in memory [1 MiB]
	Memory           int64 // bytes of all messages in flight that stay in memory [6 MiB]
	Connections      int   // at a time [2000]
	ConnectionsPerIP int   // at a time from one address, or one /64 [100]
	Recipients       int   // of one message [1000]
	Received         int   // fields of one message [50]
	HeaderBytes      int64 // that are looked at [1 MiB]
	Inspect          rewrite.Limits
	Errors           int // of one session, until it is closed [20]
	AuthFailures     int // of one session, until it is closed [3]
	Messages         int // that are inspected at a time; others wait [8]
}

// Timeouts bound each step; a zero takes the default in brackets.
type Timeouts struct {
	Command     time.Duration // for one whole command line [5 min]
	Data        time.Duration // for the next octets of a message [3 min]
	Handshake   time.Duration // TLS and PROXY header [30 s]
	Write       time.Duration // for the client to take a reply [1 min]
	Transaction time.Duration // from the last octet to the answer [85 s]
	Store       time.Duration // for one step of the store [5 s]
	Inspect     time.Duration // for reading and editing one message, and for waiting to [3 s]
	Drain       time.Duration // for running transactions when stopping [100 s]
	AuthDelay   time.Duration // after a failed login, doubling [1 s]
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.MessageSize = or(l.MessageSize, 50e6)
	l.Window = or(l.Window, 1<<20)
	l.Memory = or(l.Memory, 6<<20)
	l.Connections = or(l.Connections, 2000)
	l.ConnectionsPerIP = or(l.ConnectionsPerIP, 100)
	l.Recipients = or(l.Recipients, 1000)
	l.Received = or(l.Received, 50)
	l.HeaderBytes = or(l.HeaderBytes, 1<<20)
	l.Errors = or(l.Errors, 20)
	l.AuthFailures = or(l.AuthFailures, 3)
	l.Messages = or(l.Messages, 8)
	return l
}

func (t Timeouts) withDefaults() Timeouts {
	t.Command = or(t.Command, 5*time.Minute)
	t.Data = or(t.Data, 3*time.Minute)
	t.Handshake = or(t.Handshake, 30*time.Second)
	t.Write = or(t.Write, time.Minute)
	t.Transaction = or(t.Transaction, 85*time.Second)
	t.Inspect = or(t.Inspect, 3*time.Second)
	t.Store = or(t.Store, 5*time.Second)
	t.Drain = or(t.Drain, 100*time.Second)
	t.AuthDelay = or(t.AuthDelay, time.Second)
	return t
}
