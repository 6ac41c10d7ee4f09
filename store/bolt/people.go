package bolt

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// pageScan bounds the rows that one read transaction goes through.
const pageScan = 2000

// rowByID is loadRow for ids that came from outside.
func (t *txn) rowByID(id string) (*row, error) {
	key, err := hex.DecodeString(id)
	if err != nil || len(key) != store.IDLen {
		return nil, store.ErrNotFound
	}
	found, err := t.get(bucketReferrals, key)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, store.ErrNotFound
	}
	return t.loadRow(id)
}

// Referral implements store.People.
func (s *Store) Referral(ctx context.Context, id string) (store.Referral, error) {
	var got store.Referral
	err := s.view(ctx, func(t *txn) error {
		r, err := t.rowByID(id)
		if err != nil {
			return err
		}
		got = r.Referral
		return nil
	})
	return got, wrap("get referral", err)
}

// Referrals implements store.People. Each transaction is short; what changes
// between two of them may be seen or not.
func (s *Store) Referrals(ctx context.Context, q store.Query) ([]store.Referral, error) {
	var got []store.Referral
	after, size := q.After, q.Size()
	for len(got) < size {
		more := false
		err := s.view(ctx, func(t *txn) error {
			rows, err := t.page(after, pageScan)
			more = len(rows) == pageScan
			for _, r := range rows {
				after = r.ID
				if q.Match(r.Referral) {
					got = append(got, r.Referral)
				}
				if len(got) == size {
					break
				}
			}
			return err
		})
		if err != nil {
			return nil, wrap("list referrals", err)
		}
		if !more {
			break
		}
	}
	return got, nil
}

// page returns up to limit rows whose ids follow after.
func (t *txn) page(after string, limit int) ([]*row, error) {
	b := t.tx.Bucket(bucketReferrals)
	if b == nil {
		return nil, damaged("bucket %s is missing", bucketReferrals)
	}
	from, err := hex.DecodeString(after)
	if err != nil {
		return nil, store.ErrNotFound
	}
	var rows []*row
	c := b.Cursor()
	k, _ := c.Seek(from)
	if k != nil && bytes.Equal(k, from) {
		k, _ = c.Next()
	}
	for ; k != nil && len(rows) < limit; k, _ = c.Next() {
		r, err := t.loadRow(hex.EncodeToString(k))
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// changeRow applies a step to the referral of an id.
func (s *Store) changeRow(ctx context.Context, id string, do func(t *txn, r *row, now time.Time) error) (store.Referral, error) {
	var got store.Referral
	err := s.update(ctx, func(t *txn) error {
		r, err := t.rowByID(id)
		if err != nil {
			return err
		}
		if err := do(t, r, s.now()); err != nil {
			return err
		}
		got = r.Referral
		return nil
	})
	return got, err
}

// Withdraw implements store.People.
func (s *Store) Withdraw(ctx context.Context, id string) (store.Referral, error) {
	r, err := s.changeRow(ctx, id, func(t *txn, r *row, now time.Time) error {
		if r.State == store.Withdrawn {
			return nil
		}
		before := r.Referral
		if err := r.Withdraw(now, s.opt.Cooling); err != nil {
			return err
		}
		return errors.Join(t.dropHeld(r.ID), s.takeBack(t, r, before, store.RecordWithdrawal, now), t.saveRow(r),
			t.count(r, now, counters{Withdrawn: 1}), s.announce(t, r, store.EventWithdrawn, now))
	})
	return r, wrap("withdraw", err)
}

// takeBack writes what the end of a consent leaves behind: the record, and the
// reversal when the referral counts no more.
func (s *Store) takeBack(t *txn, r *row, before store.Referral, kind store.RecordKind, now time.Time) error {
	if r.Test {
		return nil
	}
	return t.withCompany(r.Company, func(c *companyRecord) error {
		if err := t.appendRecord(c.Book.Prove(store.NewRecord(kind, before, now))); err != nil {
			return err
		}
		if !before.Counted || r.Counted {
			return nil
		}
		return s.reverse(t, c, r, before, now)
	})
}

func (s *Store) reverse(t *txn, c *companyRecord, r *row, before store.Referral, now time.Time) error {
	earned, err := t.earnedBy(r)
	if err != nil {
		return err
	}
	r.entry = 0
	if before.Consent != nil && before.Consent.Candidate != "" {
		if err := t.delete(bucketCandidates, []byte(before.Consent.Candidate)); err != nil {
			return err
		}
	}
	return t.appendEntries(c.Book.Reverse(now, r.Referral, earned, s.ratio(r.Company))...)
}

// Erase implements store.People.
func (s *Store) Erase(ctx context.Context, id string) (store.Referral, error) {
	r, err := s.changeRow(ctx, id, func(t *txn, r *row, now time.Time) error {
		return s.erase(t, r, now)
	})
	return r, wrap("erase", err)
}

func (s *Store) erase(t *txn, r *row, now time.Time) error {
	before := r.Referral
	if before.State == store.Erased {
		return nil
	}
	if err := r.Erase(now, s.opt.Cooling); err != nil {
		return err
	}
	if before.Consent != nil {
		if err := errors.Join(s.takeBack(t, r, before, store.RecordErasure, now), s.announce(t, r, store.EventErased, now)); err != nil {
			return err
		}
	}
	return errors.Join(t.dropHeld(r.ID), t.forget(r, before, true), t.saveRow(r))
}

// forget cuts every way from a person or a link to the row. mark leaves a sign
// that the person was offered the link once.
func (t *txn) forget(r *row, before store.Referral, mark bool) error {
	for _, l := range r.links {
		if err := t.delete(bucketLinks, l.Hash); err != nil {
			return err
		}
	}
	r.links = nil
	key := personKey(before.Company, before.Test, before.Person)
	if mark && !before.Test {
		var p personRecord
		if _, err := t.load(bucketPersons, key, &p); err != nil {
			return err
		}
		return t.save(bucketPersons, key, personRecord{Erased: true, Counted: p.Counted || r.Counted})
	}
	return t.delete(bucketPersons, key)
}

// SetProfile implements store.People.
func (s *Store) SetProfile(ctx context.Context, id string, was, profile []byte) error {
	_, err := s.changeRow(ctx, id, func(t *txn, r *row, now time.Time) error {
		if r.State != store.OptedIn || r.Consent == nil || !bytes.Equal(r.Consent.Profile, was) {
			return store.ErrWrongState
		}
		if bytes.Equal(was, profile) {
			return nil
		}
		r.Consent.Profile = bytes.Clone(profile)
		return errors.Join(t.saveRow(r), s.announce(t, r, store.EventChanged, now))
	})
	return wrap("set profile", err)
}

// HandOver implements store.People.
func (s *Store) HandOver(ctx context.Context, id string, to store.Receiver) (store.Referral, error) {
	r, err := s.changeRow(ctx, id, func(t *txn, r *row, now time.Time) error {
		if r.State == store.OptedIn && !r.HandedOverAt.IsZero() {
			return nil
		}
		if err := r.HandOver(now); err != nil {
			return err
		}
		return errors.Join(t.saveRow(r), t.count(r, now, counters{HandedOver: 1}), t.proveProvision(r, to, now))
	})
	return r, wrap("hand over", err)
}

// proveProvision writes the record of provision. Test mode leaves none.
func (t *txn) proveProvision(r *row, to store.Receiver, now time.Time) error {
	if r.Test {
		return nil
	}
	rec := store.NewRecord(store.RecordProvision, r.Referral, now)
	rec.Receiver = to
	return t.withCompany(r.Company, func(c *companyRecord) error {
		return t.appendRecord(c.Book.Prove(rec))
	})
}

// SetAgencyState implements store.People.
func (s *Store) SetAgencyState(ctx context.Context, id string, a store.AgencyState) (store.Referral, error) {
	r, err := s.changeRow(ctx, id, func(t *txn, r *row, now time.Time) error {
		before := r.Agency
		if err := r.Report(now, a); err != nil {
			return err
		}
		return errors.Join(t.saveRow(r), t.count(r, now, agencyChange(before, a)))
	})
	return r, wrap("set agency state", err)
}

// agencyChange moves a candidate between the sums; whoever was interviewed or
// hired was introduced.
func agencyChange(before, after store.AgencyState) (d counters) {
	introduced := map[store.AgencyState]int64{store.Introduced: 1, store.Interviewed: 1, store.Hired: 1}
	d.Introduced = introduced[after] - introduced[before]
	if after == store.Hired {
		d.Hired++
	}
	if before == store.Hired {
		d.Hired--
	}
	return d
}

// Suppress implements store.People.
func (s *Store) Suppress(ctx context.Context, company string, p store.PersonHash) error {
	return wrap("suppress", s.setSuppressed(ctx, company, p, true))
}

// Unsuppress implements store.People.
func (s *Store) Unsuppress(ctx context.Context, company string, p store.PersonHash) error {
	return wrap("unsuppress", s.setSuppressed(ctx, company, p, false))
}

func (s *Store) setSuppressed(ctx context.Context, company string, p store.PersonHash, out bool) error {
	if err := (store.Offer{Company: company, Person: p, Key: "-", Token: "-"}).Check(); err != nil {
		return err
	}
	return s.update(ctx, func(t *txn) error {
		now := s.now()
		already, err := t.get(bucketSuppressed, suppressedKey(company, p))
		if err != nil || (already != nil) == out {
			return err
		}
		if err := t.markOptedOut(company, p, out, now); err != nil {
			return err
		}
		if out {
			return errors.Join(t.save(bucketSuppressed, suppressedKey(company, p), toMicros(now)),
				t.tally(company, "", now, counters{OptedOut: 1}))
		}
		return errors.Join(t.delete(bucketSuppressed, suppressedKey(company, p)),
			t.tally(company, "", now, counters{OptedOut: -1}))
	})
}

// markOptedOut keeps the person's referral, if there is one, in step.
func (t *txn) markOptedOut(company string, p store.PersonHash, out bool, now time.Time) error {
	var rec personRecord
	found, err := t.load(bucketPersons, personKey(company, false, p), &rec)
	if err != nil || !found || rec.Erased {
		return err
	}
	r, err := t.loadRow(rec.ID)
	if err != nil {
		return err
	}
	step := r.OptBack
	if out {
		step = r.OptOut
	}
	return errors.Join(step(now), t.saveRow(r))
}
