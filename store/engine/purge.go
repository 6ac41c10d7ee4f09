package engine

import (
	"context"
	"errors"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// purgeStep bounds the rows that one transaction changes, and with it how long
// mail waits for it.
const purgeStep = 100

// Purge implements store.Keeper. It goes through the store page by page; mail
// goes on meanwhile.
func (e *Engine) Purge(ctx context.Context, keep store.Retention) (store.Purged, error) {
	var total store.Purged
	keep, err := keep.WithDefaults()
	if err == nil {
		err = e.purgeAll(ctx, keep, &total)
	}
	return total, wrap("purge", err)
}

func (e *Engine) purgeAll(ctx context.Context, keep store.Retention, total *store.Purged) error {
	q := store.Query{}
	for {
		rows, err := e.page(ctx, q)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		q.After = rows[len(rows)-1].ID
		due, err := e.due(keep, rows)
		if err != nil {
			return err
		}
		if err := e.purgeRows(ctx, keep, due, total); err != nil {
			return err
		}
	}
	if err := e.purgeWaiting(ctx, keep, total); err != nil {
		return err
	}
	return e.purgeRecords(ctx, keep, total)
}

// purgeWaiting deletes consents whose confirmation never came, and old dead
// letters.
func (e *Engine) purgeWaiting(ctx context.Context, keep store.Retention, total *store.Purged) error {
	var held, letters int64
	err := e.db.Write(ctx, func(t Tx) error {
		now := e.now()
		var err1, err2 error
		letters, err1 = t.DeleteLetters(now.Add(-keep.Letters))
		held, err2 = t.DeleteHeld(now)
		return errors.Join(err1, err2)
	})
	if err == nil {
		total.Held += held
		total.Letters += letters
	}
	return err
}

// due returns the ids of the referrals that retention would change.
func (e *Engine) due(keep store.Retention, rows []*Row) (ids []string, err error) {
	for _, r := range rows {
		what, err := keep.Purge(&r.Referral, e.now(), e.opt.LinkLife)
		if err != nil {
			return nil, err
		}
		if what != (store.Purged{}) {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

func (e *Engine) purgeRows(ctx context.Context, keep store.Retention, ids []string, total *store.Purged) error {
	for len(ids) > 0 {
		step := ids[:min(purgeStep, len(ids))]
		ids = ids[len(step):]
		var done store.Purged
		err := e.db.Write(ctx, func(t Tx) error {
			done = store.Purged{}
			for _, id := range step {
				what, err := e.purgeRow(t, keep, id)
				if err != nil {
					return err
				}
				done.Add(what)
			}
			return nil
		})
		if err != nil {
			return err
		}
		total.Add(done)
	}
	return nil
}

func (e *Engine) purgeRow(t Tx, keep store.Retention, id string) (store.Purged, error) {
	r, err := t.Row(id)
	if errors.Is(err, store.ErrNotFound) {
		return store.Purged{}, nil // gone since the page was read
	}
	if err != nil {
		return store.Purged{}, err
	}
	now, before := e.now(), r.Referral
	what, err := keep.Purge(&r.Referral, now, e.opt.LinkLife)
	switch {
	case err != nil || what == (store.Purged{}):
		return what, err
	case what.Unused > 0:
		return what, errors.Join(forget(t, r, before, false), t.DeleteRow(r.ID), count(t, r, now, Counters{Purged: 1}))
	case what.Anonymised > 0:
		return what, errors.Join(forget(t, r, before, true), t.PutRow(r))
	}
	return what, t.PutRow(r)
}

// purgeRecords cuts the old end off each consent book. The hash of the last line
// cut stays, so that the rest can still be verified.
func (e *Engine) purgeRecords(ctx context.Context, keep store.Retention, total *store.Purged) error {
	companies, err := e.Report(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range companies {
		for {
			n, err := e.cutRecords(ctx, c.Company, e.now().Add(-keep.Records))
			if err != nil {
				return err
			}
			total.Records += n
			if n < purgeStep {
				break
			}
		}
	}
	return nil
}

func (e *Engine) cutRecords(ctx context.Context, company string, before time.Time) (n int64, err error) {
	old := func(t Tx, b store.Book) ([]store.Record, error) {
		records, err := t.Records(company, b.Forgotten+1, purgeStep)
		for i, r := range records {
			if !r.At.Before(before) {
				return records[:i], err
			}
		}
		return records, err
	}
	err = e.db.Read(ctx, func(t Tx) error { // most books have nothing to cut
		b, err := t.Book(company)
		if err != nil {
			return err
		}
		records, err := old(t, b)
		n = int64(len(records))
		return err
	})
	if err != nil || n == 0 {
		return 0, err
	}
	err = e.db.Write(ctx, func(t Tx) error {
		n = 0
		return withBook(t, company, func(b *store.Book) error {
			records, err := old(t, *b)
			if err != nil || len(records) == 0 {
				return err
			}
			n = int64(len(records))
			last := records[n-1]
			b.Forgotten, b.Stub = last.Seq, last.Hash
			return t.DeleteRecords(company, last.Seq)
		})
	})
	return n, err
}
