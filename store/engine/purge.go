package engine

import (
	"context"
	"errors"
	"slices"
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
		err = e.purgeReferrals(ctx, keep, &total)
	}
	if err == nil && keep.Dry {
		return total, wrap("purge", e.dueElsewhere(ctx, keep, &total))
	}
	for _, do := range []func(context.Context, store.Retention, *store.Purged) error{e.purgeWaiting, e.purgeRecords, e.purgeNotes} {
		if err == nil {
			err = do(ctx, keep, &total)
		}
	}
	return total, wrap("purge", err)
}

func (e *Engine) purgeReferrals(ctx context.Context, keep store.Retention, total *store.Purged) error {
	for q := (store.Query{}); ; {
		rows, err := e.page(ctx, q)
		if err != nil || len(rows) == 0 {
			return err
		}
		q.After = rows[len(rows)-1].ID
		due, what, err := e.due(keep, rows)
		switch {
		case err != nil:
			return err
		case keep.Dry:
			total.Add(what)
			continue
		}
		if err := e.purgeRows(ctx, keep, due, total); err != nil {
			return err
		}
	}
}

// dueElsewhere counts what a purge would delete beside the referrals.
func (e *Engine) dueElsewhere(ctx context.Context, keep store.Retention, total *store.Purged) error {
	companies, err := e.Report(ctx, "")
	if err != nil {
		return err
	}
	var sum store.Purged
	err = e.db.Read(ctx, func(t Tx) error {
		now := e.now()
		helds, err := overdue(t, now)
		if err != nil {
			return err
		}
		letters, err := oldLetters(t, now.Add(-keep.Letters))
		if err != nil {
			return err
		}
		sum = store.Purged{Held: int64(len(helds)), Letters: int64(len(letters))}
		before := now.Add(-keep.Records)
		err = eachNote(t, func(n store.Note) { sum.Notes += older(n.At, before) })
		for _, c := range companies {
			if err != nil {
				return err
			}
			err = eachRecord(t, c.Company, 0, func(r store.Record) { sum.Records += older(r.At, before) })
		}
		return err
	})
	total.Add(sum)
	return err
}

func older(at, before time.Time) int64 {
	if at.Before(before) {
		return 1
	}
	return 0
}

// overdue returns the consents that should have been confirmed by now.
func overdue(t Tx, now time.Time) ([]Held, error) {
	all, err := t.Helds()
	return slices.DeleteFunc(all, func(h Held) bool { return now.Before(h.Until) }), err
}

// oldLetters returns the dead letters of events before a time.
func oldLetters(t Tx, before time.Time) ([]store.Delivery, error) {
	all, err := t.Deliveries()
	return slices.DeleteFunc(all, func(d store.Delivery) bool { return !d.Dead || !d.At.Before(before) }), err
}

// purgeWaiting deletes consents whose confirmation never came, and old dead
// letters.
func (e *Engine) purgeWaiting(ctx context.Context, keep store.Retention, total *store.Purged) error {
	var done store.Purged
	err := e.db.Write(ctx, func(t Tx) error {
		done = store.Purged{}
		now := e.now()
		letters, err := oldLetters(t, now.Add(-keep.Letters))
		for _, d := range letters {
			if err == nil {
				err = deleteLetter(t, d.ID, &done)
			}
		}
		if err != nil {
			return err
		}
		helds, err := overdue(t, now)
		for _, h := range helds {
			err = errors.Join(err, t.DeleteHeld(h.Hash))
			done.Held++
		}
		return err
	})
	if err == nil {
		total.Add(done)
	}
	return err
}

// deleteLetter deletes a letter if it is still dead.
func deleteLetter(t Tx, id int64, done *store.Purged) error {
	d, err := t.LockDelivery(id)
	if isGone(err) || err == nil && !d.Dead {
		return nil
	}
	if err != nil {
		return err
	}
	done.Letters++
	return t.DeleteDelivery(id)
}

func isGone(err error) bool { return errors.Is(err, store.ErrNotFound) }

// due returns the ids of the referrals that retention would change, and how many
// in which way.
func (e *Engine) due(keep store.Retention, rows []*Row) (ids []string, sum store.Purged, err error) {
	for _, r := range rows {
		what, err := keep.Purge(&r.Referral, e.now(), e.opt.LinkLife)
		if err != nil {
			return nil, sum, err
		}
		if what != (store.Purged{}) {
			ids = append(ids, r.ID)
			sum.Add(what)
		}
	}
	return ids, sum, nil
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
	if isGone(err) {
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
	err = e.db.Read(ctx, func(t Tx) error { // most books have nothing to cut
		b, err := t.Book(company)
		if err != nil {
			return err
		}
		old, err := oldRecords(t, company, b.Forgotten+1, before)
		n = int64(len(old))
		return err
	})
	if err != nil || n == 0 {
		return 0, err
	}
	err = e.db.Write(ctx, func(t Tx) error {
		n = 0
		return withBook(t, company, func(b *store.Book) error {
			old, err := oldRecords(t, company, b.Forgotten+1, before)
			if err != nil || len(old) == 0 {
				return err
			}
			n = int64(len(old))
			last := old[n-1]
			b.Forgotten, b.Stub = last.Seq, last.Hash
			return t.DeleteRecords(company, last.Seq)
		})
	})
	return n, err
}
