package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// loadStep is how many items are loaded in one transaction.
const loadStep = 1000

// Load implements store.Dumper.
func (e *Engine) Load(ctx context.Context, r io.Reader) error {
	l := &loader{e: e, ctx: ctx}
	err := l.begin()
	if err == nil {
		err = readDump(r, l.take)
	}
	if err == nil {
		err = l.end()
	}
	return wrap("load dump", err)
}

// Usable returns store.ErrUnfinished while a dump is loaded in part only.
func Usable(t Tx) error {
	p, err := t.Progress()
	if err == nil && p != nil {
		err = fmt.Errorf("%w: run the command that loads it again, or begin anew with an empty store", store.ErrUnfinished)
	}
	return err
}

type loader struct {
	e       *Engine
	ctx     context.Context // of Load
	done    Progress        // what is in the store
	read    int64           // items of this dump
	waiting []dumpItem
	at      Progress // behind the last of waiting
}

// begin finds out whether there is something to go on with, or nothing at all.
func (l *loader) begin() error {
	return l.e.db.Write(l.ctx, func(t Tx) error {
		p, err := t.Progress()
		if err != nil {
			return err
		}
		if p != nil {
			l.done = *p
			return nil
		}
		if err := empty(t); err != nil {
			return err
		}
		return t.PutProgress(&Progress{})
	})
}

func empty(t Tx) error {
	ids, err := t.IDs("", 1)
	if err != nil {
		return err
	}
	totals, err := t.Totals("")
	if err != nil {
		return err
	}
	trail, err := t.Trail()
	if err != nil {
		return err
	}
	if len(ids)+len(totals) > 0 || trail != (store.Trail{}) {
		return store.ErrNotEmpty
	}
	return nil
}

// take is called for each item of the dump.
func (l *loader) take(item dumpItem, at Progress) error {
	l.read = at.Items
	if at.Items <= l.done.Items {
		if at.Items == l.done.Items && !bytes.Equal(at.State, l.done.State) {
			return store.ErrOtherDump
		}
		return nil
	}
	l.waiting, l.at = append(l.waiting, item), at
	if len(l.waiting) < loadStep {
		return nil
	}
	return l.flush()
}

func (l *loader) flush() error {
	if len(l.waiting) == 0 {
		return nil
	}
	err := l.e.db.Write(l.ctx, func(t Tx) error {
		for _, item := range l.waiting {
			if err := l.put(t, item); err != nil {
				return err
			}
		}
		return t.PutProgress(&l.at)
	})
	l.waiting, l.done = l.waiting[:0], l.at
	return err
}

func (l *loader) end() error {
	if l.read < l.done.Items {
		return store.ErrOtherDump
	}
	if err := l.flush(); err != nil {
		return err
	}
	return l.e.db.Write(l.ctx, func(t Tx) error { return t.PutProgress(nil) })
}

func (l *loader) put(t Tx, item dumpItem) error {
	switch {
	case item.Row != nil:
		return l.putRow(t, item.Row)
	case item.Erased != nil:
		return putErased(t, item.Erased)
	case item.Suppressed != nil:
		return t.PutSuppressed(item.Suppressed.Company, item.Suppressed.Person, item.Suppressed.At)
	case item.Candidate != nil:
		return t.PutCandidate(item.Candidate.Person, item.Candidate.Referral)
	case item.Book != nil:
		return t.PutBook(item.Book.Company, item.Book.Book)
	case item.Month != nil:
		return putMonth(t, item.Month)
	case item.Entry != nil:
		return t.AppendEntries(*item.Entry)
	case item.Record != nil:
		return t.AppendRecord(*item.Record)
	case item.Intro != nil:
		return t.PutIntroduction(*item.Intro)
	case item.Pace != nil:
		item.Pace.Pace.Company = item.Pace.Company
		return t.AddPace(item.Pace.Pace)
	}
	return putRest(t, item)
}

func putRest(t Tx, item dumpItem) error {
	switch {
	case item.Delivery != nil:
		return t.PutDelivery(*item.Delivery)
	case item.Outbox != nil:
		return t.SetLastDelivery(*item.Outbox)
	case item.Held != nil:
		h, err := DecodeHeld(item.Held.Hash, item.Held.Held)
		if err != nil {
			return err
		}
		return t.PutHeld(h)
	case item.Copy != nil:
		return t.AddCopy(item.Copy.Key, item.Copy.At)
	case item.Note != nil:
		return t.PutNote(*item.Note)
	case item.Trail != nil:
		return t.PutTrail(*item.Trail)
	}
	return fmt.Errorf("%w: an item without content", store.ErrDump)
}

// putRow keeps a row and what leads to it.
func (l *loader) putRow(t Tx, d *dumpRow) error {
	r, err := DecodeRow(d.ID, d.Row)
	if err != nil {
		return err
	}
	if err := t.PutRow(r); err != nil {
		return err
	}
	l.e.After(r.ID)
	for _, link := range r.Links {
		to, err := t.AddLink(link.Hash, r.ID)
		if err != nil {
			return err
		}
		if to != r.ID {
			return fmt.Errorf("%w: a link of referral %s leads to %s", store.ErrDump, r.ID, to)
		}
	}
	if r.Person == "" {
		return nil
	}
	return t.PutPerson(keyOf(r.Referral), Person{ID: r.ID})
}

// putErased comes after the rows: the person may have asked for a link since.
func putErased(t Tx, d *dumpErased) error {
	key := PersonKey{Company: d.Company, Person: d.Person}
	p, err := t.Person(key)
	if err != nil {
		return err
	}
	p.Erased, p.Counted = p.ID == "", d.Counted
	return t.PutPerson(key, p)
}

func putMonth(t Tx, d *dumpMonth) error {
	at, err := time.Parse("2006-01", d.Month)
	if err != nil {
		return fmt.Errorf("%w: month %q", store.ErrDump, d.Month)
	}
	return t.Count(d.Company, d.Rule, at, d.Count)
}
