package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Note implements store.Journal.
func (e *Engine) Note(ctx context.Context, n store.Note) (store.Note, error) {
	if err := n.Check(); err != nil {
		return store.Note{}, err
	}
	var got store.Note
	err := e.db.Write(ctx, func(t Tx) error {
		trail, err := t.Trail()
		if err != nil {
			return err
		}
		got = trail.Link(e.now(), n)
		return errors.Join(t.PutNote(got), t.PutTrail(trail))
	})
	if err != nil {
		got = store.Note{}
	}
	return got, wrap("write journal", err)
}

// Notes implements store.Journal. It goes back page by page.
func (e *Engine) Notes(ctx context.Context, q store.NoteQuery) ([]store.Note, error) {
	var got []store.Note
	err := e.db.Read(ctx, func(t Tx) error {
		trail, err := t.Trail()
		if err != nil {
			return err
		}
		got = nil
		below := trail.Seq + 1
		if q.Below != 0 {
			below = min(below, q.Below)
		}
		for below > trail.Forgotten+1 && len(got) < q.Size() {
			from := max(trail.Forgotten+1, below-linePage)
			page, err := t.Notes(from, int(below-from))
			if err != nil {
				return err
			}
			below = from
			got = appendMatching(got, page, q)
		}
		return nil
	})
	return got, wrap("read journal", err)
}

// appendMatching adds the lines of a page that q selects, newest first.
func appendMatching(got, page []store.Note, q store.NoteQuery) []store.Note {
	for _, n := range slices.Backward(page) {
		if len(got) == q.Size() {
			break
		}
		if q.Match(n) {
			got = append(got, n)
		}
	}
	return got
}

// eachNote calls do for the lines of the journal, oldest first.
func eachNote(t Tx, do func(store.Note)) error {
	page := func(_ string, from int64, limit int) ([]store.Note, error) { return t.Notes(from, limit) }
	return eachLine(page, "", 0, func(n store.Note) int64 { do(n); return n.Seq })
}

func (e *Engine) auditJournal(ctx context.Context, rep *store.AuditReport) error {
	return e.db.Read(ctx, func(t Tx) error {
		running, err := t.Trail()
		if err != nil {
			return err
		}
		a := store.NewTrailAuditor(running)
		if err := eachNote(t, a.Note); err != nil {
			if outage(err) {
				return err
			}
			found(rep, "journal: %v", err)
		}
		rep.Journal = a.Compare(running)
		for _, p := range a.Problems {
			found(rep, "%s", p)
		}
		return nil
	})
}

// purgeNotes cuts the old end off the journal, as cutRecords does for a consent
// book.
func (e *Engine) purgeNotes(ctx context.Context, keep store.Retention, total *store.Purged) error {
	before := e.now().Add(-keep.Records)
	for {
		var n int64
		err := e.db.Write(ctx, func(t Tx) error {
			n = 0
			trail, err := t.Trail()
			if err != nil {
				return err
			}
			old, err := oldNotes(t, trail.Forgotten+1, before)
			if err != nil || len(old) == 0 {
				return err
			}
			n = int64(len(old))
			last := old[n-1]
			trail.Forgotten, trail.Stub = last.Seq, last.Hash
			return errors.Join(t.DeleteNotes(last.Seq), t.PutTrail(trail))
		})
		if err != nil {
			return err
		}
		total.Notes += n
		if n < purgeStep {
			return nil
		}
	}
}

// oldNotes returns up to purgeStep notes from a number on that were written before.
func oldNotes(t Tx, from int64, before time.Time) ([]store.Note, error) {
	page, err := t.Notes(from, purgeStep)
	for i, n := range page {
		if !n.At.Before(before) {
			return page[:i], err
		}
	}
	return page, err
}

// oldRecords is oldNotes for a consent book.
func oldRecords(t Tx, company string, from int64, before time.Time) ([]store.Record, error) {
	page, err := t.Records(company, from, purgeStep)
	for i, r := range page {
		if !r.At.Before(before) {
			return page[:i], err
		}
	}
	return page, err
}
