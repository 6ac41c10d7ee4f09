package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// A dump is everything a store holds, in a form that belongs to no database: one
// JSON object a line. The first line is a dumpHead, the last a dumpEnd; between
// them each line is a dumpItem with one field set. Lines that lead to others
// (links, persons) are not in it: they follow from the rows.
const dumpFormat = 1

type dumpHead struct {
	Format int       `json:"careerrelay-dump"`
	At     time.Time `json:"at"`
}

// dumpEnd says that the dump is whole: how many items came before, and the SHA-256
// of their lines.
type dumpEnd struct {
	Items  int64  `json:"items"`
	SHA256 string `json:"sha256"`
}

type dumpItem struct {
	Row        *dumpRow            `json:"row,omitempty"`
	Erased     *dumpErased         `json:"erased,omitempty"`
	Suppressed *Suppression        `json:"suppressed,omitempty"`
	Candidate  *Candidate          `json:"candidate,omitempty"`
	Book       *dumpBook           `json:"book,omitempty"`
	Month      *dumpMonth          `json:"month,omitempty"`
	Entry      *store.Entry        `json:"entry,omitempty"`
	Record     *store.Record       `json:"record,omitempty"`
	Intro      *store.Introduction `json:"introduction,omitempty"`
	Pace       *dumpPace           `json:"pace,omitempty"`
	Delivery   *store.Delivery     `json:"delivery,omitempty"`
	Outbox     *int64              `json:"outbox,omitempty"` // the last number of a delivery
	Held       *dumpHeld           `json:"held,omitempty"`
	Note       *store.Note         `json:"note,omitempty"`
	Copy       *Copy               `json:"copy,omitempty"`
	Trail      *store.Trail        `json:"trail,omitempty"`
	End        *dumpEnd            `json:"end,omitempty"`
}

type dumpRow struct {
	ID  string          `json:"id"`
	Row json.RawMessage `json:"row"` // EncodeRow
}

type dumpErased struct {
	Company string           `json:"company"`
	Person  store.PersonHash `json:"person"`
	Counted bool             `json:"counted,omitempty"`
}

type dumpBook struct {
	Company string     `json:"company"`
	Book    store.Book `json:"book"`
}

type dumpMonth struct {
	Company string   `json:"company"`
	Month   string   `json:"month"` // 2026-04
	Rule    string   `json:"rule,omitempty"`
	Count   Counters `json:"count"`
}

type dumpPace struct {
	Company string `json:"company"`
	store.Pace
}

type dumpHeld struct {
	Hash []byte          `json:"hash"`
	Held json.RawMessage `json:"held"` // EncodeHeld
}

// Suppression is a person who wants no more links.
type Suppression struct {
	Company string           `json:"company"`
	Person  store.PersonHash `json:"person"`
	At      time.Time        `json:"at"`
}

// Candidate is the referral that counts for a person of several companies.
type Candidate struct {
	Person   store.PersonHash `json:"person"`
	Referral string           `json:"referral"`
}

// Copy is a copy of a message that was delivered.
type Copy struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
}

// Erased is what is left of a person whose referral was erased.
type Erased struct {
	PersonKey
	Counted bool
}

// Dump implements store.Dumper.
func (e *Engine) Dump(ctx context.Context, w io.Writer) error {
	err := e.db.Read(ctx, func(t Tx) error {
		d := &dumper{t: t, sum: sha256.New()}
		d.w = bufio.NewWriterSize(w, 1<<16)
		err := d.write(dumpHead{Format: dumpFormat, At: e.now()}, io.Discard)
		if err == nil {
			err = d.all()
		}
		if err == nil {
			end := &dumpEnd{Items: d.items, SHA256: hex.EncodeToString(d.sum.Sum(nil))}
			err = d.write(dumpItem{End: end}, io.Discard)
		}
		return errors.Join(err, d.w.Flush())
	})
	return wrap("dump", err)
}

type dumper struct {
	t     Tx
	w     *bufio.Writer
	sum   hash.Hash
	items int64
}

// line writes an item.
func (d *dumper) line(item dumpItem) error {
	d.items++
	return d.write(item, d.sum)
}

// write writes a line, which sum gets too.
func (d *dumper) write(v any, sum io.Writer) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	b = append(b, '\n')
	_, err = io.MultiWriter(d.w, sum).Write(b)
	return err
}

func (d *dumper) all() error {
	for _, step := range []func() error{d.rows, d.persons, d.companies, d.outbox, d.copies, d.journal} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) rows() error {
	for q := (store.Query{}); ; {
		rows, err := d.t.Rows(q, pageScan)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			q.After = r.ID
			content, err := EncodeRow(r)
			if err != nil {
				return err
			}
			if err := d.line(dumpItem{Row: &dumpRow{ID: r.ID, Row: content}}); err != nil {
				return err
			}
		}
	}
}

func (d *dumper) persons() error {
	err := d.t.EachErased(func(x Erased) error {
		return d.line(dumpItem{Erased: &dumpErased{Company: x.Company, Person: x.Person, Counted: x.Counted}})
	})
	if err == nil {
		err = d.t.EachSuppressed(func(x Suppression) error { return d.line(dumpItem{Suppressed: &x}) })
	}
	if err == nil {
		err = d.t.EachCandidate(func(x Candidate) error { return d.line(dumpItem{Candidate: &x}) })
	}
	return err
}

func (d *dumper) companies() error {
	totals, err := d.t.Totals("")
	for _, c := range totals {
		if err == nil {
			err = d.company(c)
		}
	}
	return err
}

func (d *dumper) company(c Total) error {
	err := d.line(dumpItem{Book: &dumpBook{Company: c.Company, Book: c.Book}})
	keep := func(item dumpItem) {
		if err == nil {
			err = d.line(item)
		}
	}
	months, failed := d.t.Months(c.Company)
	for _, m := range months {
		keep(dumpItem{Month: &dumpMonth{Company: c.Company, Month: m.Month, Rule: m.Rule, Count: m.Counters}})
	}
	err = errors.Join(err, failed,
		eachEntry(d.t, c.Company, 0, func(x store.Entry) { keep(dumpItem{Entry: &x}) }),
		eachRecord(d.t, c.Company, 0, func(x store.Record) { keep(dumpItem{Record: &x}) }))
	intros, failed := d.t.Introductions(c.Company)
	for _, i := range intros {
		keep(dumpItem{Intro: &i})
	}
	err = errors.Join(err, failed)
	paces, failed := d.t.Paces(c.Company, time.Unix(0, 0))
	for _, p := range paces {
		keep(dumpItem{Pace: &dumpPace{Company: c.Company, Pace: p}})
	}
	return errors.Join(err, failed)
}

func (d *dumper) outbox() error {
	all, err := d.t.Deliveries()
	for _, x := range all {
		if err == nil {
			err = d.line(dumpItem{Delivery: &x})
		}
	}
	last, failed := d.t.LastDelivery()
	if err = errors.Join(err, failed); err == nil {
		err = d.line(dumpItem{Outbox: &last})
	}
	helds, failed := d.t.Helds()
	err = errors.Join(err, failed)
	for _, h := range helds {
		content, failed := EncodeHeld(h)
		if err = errors.Join(err, failed); err == nil {
			err = d.line(dumpItem{Held: &dumpHeld{Hash: h.Hash, Held: content}})
		}
	}
	return err
}

func (d *dumper) copies() error {
	return d.t.EachCopy(func(x Copy) error { return d.line(dumpItem{Copy: &x}) })
}

func (d *dumper) journal() error {
	var err error
	failed := eachNote(d.t, func(n store.Note) {
		if err == nil {
			err = d.line(dumpItem{Note: &n})
		}
	})
	trail, unread := d.t.Trail()
	if err = errors.Join(err, failed, unread); err != nil {
		return err
	}
	return d.line(dumpItem{Trail: &trail})
}

// VerifyDump reads a dump through and says whether it is whole.
func VerifyDump(r io.Reader) (items int64, err error) {
	err = readDump(r, func(dumpItem, Progress) error { items++; return nil })
	return items, err
}

// Progress is how far the reading of a dump has come: behind an item.
type Progress struct {
	Items int64  `json:"items"`
	State []byte `json:"state"` // of the SHA-256 over their lines
}

// readDump calls do for each item between head and end. A dump without its end,
// or with another sum, is an error after the last item.
func readDump(r io.Reader, do func(item dumpItem, at Progress) error) error {
	in, sum := bufio.NewReaderSize(r, 1<<16), sha256.New()
	head, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%w: it does not begin as a dump of a store", store.ErrDump)
	}
	if err := checkHead(head); err != nil {
		return err
	}
	for items := int64(0); ; items++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: it ends before its end", store.ErrDump)
		}
		if err != nil {
			return fmt.Errorf("read dump: %w", err)
		}
		var item dumpItem
		if err := strictly(line, &item); err != nil {
			return fmt.Errorf("%w: item %d: %w", store.ErrDump, items+1, err)
		}
		if item.End != nil {
			return item.End.check(items, sum)
		}
		sum.Write(line)
		state, err := sum.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return err
		}
		if err := do(item, Progress{Items: items + 1, State: state}); err != nil {
			return err
		}
	}
}

func (e *dumpEnd) check(items int64, sum hash.Hash) error {
	if e.Items != items || e.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		return fmt.Errorf("%w: its sum is another: it was changed", store.ErrDump)
	}
	return nil
}

// strictly refuses what this program does not know: it would be lost.
func strictly(line []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

func checkHead(line []byte) error {
	var head dumpHead
	if err := json.Unmarshal(line, &head); err != nil || head.Format < 1 {
		return fmt.Errorf("%w: it does not begin as a dump of a store", store.ErrDump)
	}
	if head.Format > dumpFormat {
		return fmt.Errorf("%w: its format %d is newer than this program's %d: use the newer program", store.ErrDump, head.Format, dumpFormat)
	}
	return nil
}
