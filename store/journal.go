package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// NoteKind is what a line of the journal is about.
type NoteKind string

// The kinds of notes.
const (
	NoteAccess   NoteKind = "access"   // somebody used the dashboard or a command that reads or changes the store
	NoteRequest  NoteKind = "request"  // a person's request about own data, and what was done
	NoteDeletion NoteKind = "deletion" // what retention deleted, as counts
)

// Note is one line of the journal: who did what, when. It names people by their
// referral only, never by address or name. Notes are never changed; each carries
// the hash of the one before. After the retention the oldest are cut off.
type Note struct {
	Seq      int64     `json:"seq"` // 1, 2, 3 …
	At       time.Time `json:"at"`
	Kind     NoteKind  `json:"kind"`
	Actor    string    `json:"actor"`              // user of the dashboard or of the system, "candidate", "relay"
	Role     string    `json:"role,omitempty"`     // the user's role
	Action   string    `json:"action"`             // what was done
	Company  string    `json:"company,omitempty"`  // "" when it concerns all or none
	Referral string    `json:"referral,omitempty"` // id
	Detail   string    `json:"detail,omitempty"`   // no personal data
	Prev     string    `json:"prev"`
	Hash     string    `json:"hash"`
}

// Sum is the hash that an unchanged note carries.
func (n Note) Sum() string {
	return digest("careerrelay journal 1", n.Prev, strconv.FormatInt(n.Seq, 10), instant(n.At), string(n.Kind),
		n.Actor, n.Role, n.Action, n.Company, n.Referral, n.Detail)
}

// maxNote bounds each text of a note: a journal must not be a place to store things.
const maxNote = 500

// Check says what a note lacks.
func (n Note) Check() error {
	switch n.Kind {
	case NoteAccess, NoteRequest, NoteDeletion:
	default:
		return fmt.Errorf("note: no such kind %q", n.Kind)
	}
	if n.Actor == "" || n.Action == "" {
		return errors.New("note: no actor or no action")
	}
	for _, text := range []string{n.Actor, n.Role, n.Action, n.Company, n.Referral, n.Detail} {
		if len(text) > maxNote || hasControl(text) {
			return errors.New("note: a text is too long or has control characters")
		}
	}
	return nil
}

// NoteQuery selects notes.
type NoteQuery struct {
	Kind    NoteKind  // or "" for all
	Company string    // or "" for all
	From    time.Time // at or after; zero for no limit
	Before  time.Time // before; zero for no limit
	Below   int64     // notes with a smaller number; 0 for the newest
	Limit   int       // 100 when not positive; 1000 at most
}

// Size is the number of notes a page holds at most.
func (q NoteQuery) Size() int { return Query{Limit: q.Limit}.Size() }

// Match reports whether q selects n.
func (q NoteQuery) Match(n Note) bool {
	return (q.Kind == "" || q.Kind == n.Kind) && (q.Company == "" || q.Company == n.Company) &&
		(q.Below == 0 || n.Seq < q.Below) &&
		(q.From.IsZero() || !n.At.Before(q.From)) && (q.Before.IsZero() || n.At.Before(q.Before))
}

// Journal is the access log, the ledger of requests and the log of deletions.
type Journal interface {
	// Note appends a line; number, time and hashes are the store's.
	Note(ctx context.Context, n Note) (Note, error)
	// Notes returns a page of lines, newest first. It is shorter than q.Limit only
	// at the end.
	Notes(ctx context.Context, q NoteQuery) ([]Note, error)
}

// Trail is the running state of the journal, kept beside its lines.
type Trail struct {
	Seq       int64  `json:"seq"`                 // last note
	Head      string `json:"head"`                // its hash
	Forgotten int64  `json:"forgotten,omitempty"` // last note cut off after its retention
	Stub      string `json:"stub,omitempty"`      // its hash, from which the chain goes on
}

// Link chains a note.
func (t *Trail) Link(now time.Time, n Note) Note {
	t.Seq++
	n.Seq, n.At, n.Prev = t.Seq, Clock(now), t.Head
	n.Hash = n.Sum()
	t.Head = n.Hash
	return n
}

// TrailAuditor recomputes the journal from its lines alone, oldest first; then
// Compare it with the running state.
type TrailAuditor struct {
	Problems []string
	trail    Trail
}

// NewTrailAuditor begins at the stub of the running state.
func NewTrailAuditor(running Trail) *TrailAuditor {
	return &TrailAuditor{trail: Trail{Seq: running.Forgotten, Head: running.Stub}}
}

// Note takes the next line.
func (a *TrailAuditor) Note(n Note) {
	t := &a.trail
	if why := (chained{n.Seq, n.Prev, n.Hash, n.Sum()}).follows(t.Seq, t.Head); why != "" {
		a.Problems = append(a.Problems, fmt.Sprintf("journal, line %d: %s", n.Seq, why))
	}
	t.Seq, t.Head = n.Seq, n.Hash
}

// Compare finds lines missing at the end.
func (a *TrailAuditor) Compare(running Trail) ChainHead {
	if a.trail.Seq != running.Seq || a.trail.Head != running.Head {
		a.Problems = append(a.Problems, fmt.Sprintf("journal: its state says %d lines, there are %d; or the last one is another", running.Seq, a.trail.Seq))
	}
	return ChainHead{Lines: a.trail.Seq, Head: a.trail.Head}
}
