package bolt

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// purgeStep bounds the rows that one transaction changes, and with it how long
// mail waits for it.
const purgeStep = 100

// Purge implements store.Keeper. It goes through the store page by page; mail
// goes on meanwhile.
func (s *Store) Purge(ctx context.Context, keep store.Retention) (store.Purged, error) {
	var total store.Purged
	keep, err := keep.WithDefaults()
	if err != nil {
		return total, wrap("purge", err)
	}
	for after := ""; ; {
		due, what, last, err := s.duePage(ctx, keep, after)
		if err != nil {
			return total, wrap("purge", err)
		}
		if last == "" {
			break
		}
		after = last
		if keep.Dry {
			total.Add(what)
		} else if err := s.purgeRows(ctx, keep, due, &total); err != nil {
			return total, wrap("purge", err)
		}
	}
	if keep.Dry {
		return total, wrap("purge", s.dueElsewhere(ctx, keep, &total))
	}
	if err := s.purgeWaiting(ctx, keep, &total); err != nil {
		return total, wrap("purge", err)
	}
	if err := s.purgeRecords(ctx, keep, &total); err != nil {
		return total, wrap("purge", err)
	}
	return total, wrap("purge", s.purgeNotes(ctx, s.now().Add(-keep.Records), &total))
}

// dueElsewhere counts what a purge would delete beside the referrals.
func (s *Store) dueElsewhere(ctx context.Context, keep store.Retention, total *store.Purged) error {
	companies, err := s.Report(ctx, "")
	if err != nil {
		return err
	}
	return s.view(ctx, func(t *txn) error {
		now := s.now()
		held, err := t.heldWhere(overdue(now))
		if err != nil {
			return err
		}
		letters, err := t.oldLetters(now.Add(-keep.Letters))
		if err != nil {
			return err
		}
		notes, err := t.oldNotes(now.Add(-keep.Records), math.MaxInt)
		if err != nil {
			return err
		}
		total.Add(store.Purged{Held: int64(len(held)), Letters: int64(len(letters)), Notes: int64(len(notes))})
		for _, c := range companies {
			records, err := t.oldRecords(c.Company, 0, now.Add(-keep.Records), math.MaxInt)
			if err != nil {
				return err
			}
			total.Records += int64(len(records))
		}
		return nil
	})
}

func overdue(now time.Time) func(heldRecord) bool {
	return func(h heldRecord) bool { return !now.Before(h.Until.time()) }
}

// purgeWaiting deletes consents whose confirmation never came, and old dead
// letters.
func (s *Store) purgeWaiting(ctx context.Context, keep store.Retention, total *store.Purged) error {
	var held, letters int64
	err := s.update(ctx, func(t *txn) error {
		now := s.now()
		var err1, err2 error
		held, err1 = t.deleteHeld(overdue(now))
		letters, err2 = t.deleteLetters(now.Add(-keep.Letters))
		return errors.Join(err1, err2)
	})
	if err == nil {
		total.Held += held
		total.Letters += letters
	}
	return err
}

// duePage returns the ids of a page's referrals that retention would change, how
// many in which way, and the page's last id; "" at the end.
func (s *Store) duePage(ctx context.Context, keep store.Retention, after string) (due []string, sum store.Purged, last string, err error) {
	err = s.view(ctx, func(t *txn) error {
		rows, err := t.page(after, pageScan)
		for _, r := range rows {
			last = r.ID
			what, err := keep.Purge(&r.Referral, s.now(), s.opt.LinkLife)
			if err != nil {
				return err
			}
			if what != (store.Purged{}) {
				due = append(due, r.ID)
				sum.Add(what)
			}
		}
		return err
	})
	return due, sum, last, err
}

func (s *Store) purgeRows(ctx context.Context, keep store.Retention, ids []string, total *store.Purged) error {
	for len(ids) > 0 {
		step := ids[:min(purgeStep, len(ids))]
		ids = ids[len(step):]
		var done store.Purged
		err := s.update(ctx, func(t *txn) error {
			done = store.Purged{}
			for _, id := range step {
				what, err := s.purgeRow(t, keep, id)
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

func (s *Store) purgeRow(t *txn, keep store.Retention, id string) (store.Purged, error) {
	r, err := t.rowByID(id)
	if errors.Is(err, store.ErrNotFound) {
		return store.Purged{}, nil // gone since the page was read
	}
	if err != nil {
		return store.Purged{}, err
	}
	now, before := s.now(), r.Referral
	what, err := keep.Purge(&r.Referral, now, s.opt.LinkLife)
	switch {
	case err != nil || what == (store.Purged{}):
		return what, err
	case what.Unused > 0:
		return what, errors.Join(t.forget(r, before, false), t.deleteRow(r), t.count(r, now, counters{Purged: 1}))
	case what.Anonymised > 0:
		return what, errors.Join(t.forget(r, before, true), t.saveRow(r))
	}
	return what, t.saveRow(r)
}

func (t *txn) deleteRow(r *row) error {
	key, err := idBytes(r.ID)
	if err != nil {
		return err
	}
	return t.delete(bucketReferrals, key)
}

// purgeRecords cuts the old end off each consent book. The hash of the last line
// cut stays, so that the rest can still be verified.
func (s *Store) purgeRecords(ctx context.Context, keep store.Retention, total *store.Purged) error {
	companies, err := s.Report(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range companies {
		for {
			n, err := s.cutRecords(ctx, c.Company, s.now().Add(-keep.Records))
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

func (s *Store) cutRecords(ctx context.Context, company string, before time.Time) (n int64, err error) {
	err = s.update(ctx, func(t *txn) error {
		n = 0
		return t.withCompany(company, func(c *companyRecord) error {
			old, err := t.oldRecords(company, c.Book.Forgotten+1, before, purgeStep)
			for _, r := range old {
				err = errors.Join(err, t.delete(bucketConsents, seqKey(company, r.Seq)))
				c.Book.Forgotten, c.Book.Stub = r.Seq, r.Hash
			}
			n = int64(len(old))
			return err
		})
	})
	return n, err
}

// oldRecords returns up to limit consent records from number on that were
// written before.
func (t *txn) oldRecords(company string, from int64, before time.Time, limit int) ([]store.Record, error) {
	var old []store.Record
	err := scanFrom(t, bucketConsents, company, from, func(r store.Record) error {
		if len(old) == limit || !r.At.Before(before) {
			return errStop
		}
		old = append(old, r)
		return nil
	})
	return old, err
}
