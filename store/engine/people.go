package engine

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// pageScan bounds the rows that one read transaction goes through.
const pageScan = 2000

// Referral implements store.People.
func (e *Engine) Referral(ctx context.Context, id string) (store.Referral, error) {
	var got store.Referral
	err := e.db.Read(ctx, func(t Tx) error {
		r, err := t.Row(id)
		if err == nil {
			got = r.Referral
		}
		return err
	})
	return got, wrap("get referral", err)
}

// Referrals implements store.People. Each transaction is short; what changes
// between two of them may be seen or not.
func (e *Engine) Referrals(ctx context.Context, q store.Query) ([]store.Referral, error) {
	var got []store.Referral
	size, more := q.Size(), true
	for more && len(got) < size {
		rows, err := e.page(ctx, q)
		if err != nil {
			return nil, wrap("list referrals", err)
		}
		more = len(rows) == pageScan
		for _, r := range rows {
			q.After = r.ID
			if q.Match(r.Referral) {
				got = append(got, r.Referral)
			}
			if len(got) == size {
				break
			}
		}
	}
	return got, nil
}

func (e *Engine) page(ctx context.Context, q store.Query) (rows []*Row, err error) {
	err = e.db.Read(ctx, func(t Tx) (err error) {
		rows, err = t.Rows(q, pageScan)
		return err
	})
	return rows, err
}

// changeRow applies a step to the referral of an id.
func (e *Engine) changeRow(ctx context.Context, id string, do func(t Tx, r *Row, now time.Time) error) (store.Referral, error) {
	var got store.Referral
	err := e.db.Write(ctx, func(t Tx) error {
		r, err := t.Row(id)
		if err != nil {
			return err
		}
		if err := do(t, r, e.now()); err != nil {
			return err
		}
		got = r.Referral
		return nil
	})
	return got, err
}

// Withdraw implements store.People.
func (e *Engine) Withdraw(ctx context.Context, id string) (store.Referral, error) {
	r, err := e.changeRow(ctx, id, func(t Tx, r *Row, now time.Time) error {
		if r.State == store.Withdrawn {
			return nil
		}
		before := r.Referral
		if err := r.Withdraw(now, e.opt.Cooling); err != nil {
			return err
		}
		return errors.Join(t.DropHeld(r.ID), e.announce(t, r, store.EventWithdrawn, now),
			e.takeBack(t, r, before, store.RecordWithdrawal, now), t.PutRow(r), count(t, r, now, Counters{Withdrawn: 1}))
	})
	return r, wrap("withdraw", err)
}

// takeBack writes what the end of a consent leaves behind: the record, and the
// reversal when the referral counts no more.
func (e *Engine) takeBack(t Tx, r *Row, before store.Referral, kind store.RecordKind, now time.Time) error {
	if r.Test {
		return nil
	}
	return withBook(t, r.Company, func(b *store.Book) error {
		if err := t.AppendRecord(b.Prove(store.NewRecord(kind, before, now))); err != nil {
			return err
		}
		if !before.Counted || r.Counted {
			return nil
		}
		return e.reverse(t, b, r, before, now)
	})
}

func (e *Engine) reverse(t Tx, b *store.Book, r *Row, before store.Referral, now time.Time) error {
	earned, err := earnedBy(t, r)
	if err != nil {
		return err
	}
	r.Entry = 0
	if before.Consent != nil && before.Consent.Candidate != "" {
		if err := t.DeleteCandidate(before.Consent.Candidate); err != nil {
			return err
		}
	}
	return t.AppendEntries(b.Reverse(now, r.Referral, earned, e.opt.RatioFor(r.Company))...)
}

// earnedBy finds the live credit that a counted row belongs to, nil when it is
// pending. It reads the ledger from the row's own entry on: at most as far back
// as the cooling-off time, since only then is it asked.
func earnedBy(t Tx, r *Row) (*store.Entry, error) {
	var earned *store.Entry
	err := eachEntry(t, r.Company, r.Entry, func(line store.Entry) {
		switch {
		case line.Kind == store.EntryEarn && slices.Contains(line.Rows, r.ID):
			earned = &line
		case line.Kind == store.EntryUnearn && earned != nil && line.Credit == earned.Credit:
			earned = nil
		}
	})
	return earned, err
}

// Erase implements store.People.
func (e *Engine) Erase(ctx context.Context, id string) (store.Referral, error) {
	r, err := e.changeRow(ctx, id, e.erase)
	return r, wrap("erase", err)
}

func (e *Engine) erase(t Tx, r *Row, now time.Time) error {
	before := r.Referral
	if before.State == store.Erased {
		return nil
	}
	if err := r.Erase(now, e.opt.Cooling); err != nil {
		return err
	}
	if before.Consent != nil {
		err := errors.Join(e.announce(t, r, store.EventErased, now), e.takeBack(t, r, before, store.RecordErasure, now))
		if err != nil {
			return err
		}
	}
	return errors.Join(t.DropHeld(r.ID), forget(t, r, before, true), t.PutRow(r))
}

// forget cuts every way from a person or a link to the row. mark leaves a sign
// that the person was offered the link once.
func forget(t Tx, r *Row, before store.Referral, mark bool) error {
	for _, l := range r.Links {
		if err := t.DeleteLink(l.Hash); err != nil {
			return err
		}
	}
	r.Links = nil
	key := keyOf(before)
	if !mark || before.Test {
		return t.DeletePerson(key)
	}
	p, err := t.Person(key)
	if err != nil {
		return err
	}
	return t.PutPerson(key, Person{Erased: true, Counted: p.Counted || r.Counted})
}

// SetProfile implements store.People.
func (e *Engine) SetProfile(ctx context.Context, id string, was, profile []byte) error {
	_, err := e.changeRow(ctx, id, func(t Tx, r *Row, now time.Time) error {
		if r.State != store.OptedIn || r.Consent == nil || !bytes.Equal(r.Consent.Profile, was) {
			return store.ErrWrongState
		}
		if bytes.Equal(was, profile) {
			return nil
		}
		r.Consent.Profile = bytes.Clone(profile)
		return errors.Join(e.announce(t, r, store.EventChanged, now), t.PutRow(r))
	})
	return wrap("set profile", err)
}

// HandOver implements store.People.
func (e *Engine) HandOver(ctx context.Context, id string, to store.Receiver) (store.Referral, error) {
	r, err := e.changeRow(ctx, id, func(t Tx, r *Row, now time.Time) error {
		if r.State == store.OptedIn && !r.HandedOverAt.IsZero() {
			return nil
		}
		if err := r.HandOver(now); err != nil {
			return err
		}
		return errors.Join(t.PutRow(r), proveProvision(t, r, to, now), count(t, r, now, Counters{HandedOver: 1}))
	})
	return r, wrap("hand over", err)
}

// proveProvision writes the record of provision. Test mode leaves none.
func proveProvision(t Tx, r *Row, to store.Receiver, now time.Time) error {
	if r.Test {
		return nil
	}
	rec := store.NewRecord(store.RecordProvision, r.Referral, now)
	rec.Receiver = to
	return withBook(t, r.Company, func(b *store.Book) error { return t.AppendRecord(b.Prove(rec)) })
}

// SetAgencyState implements store.People.
func (e *Engine) SetAgencyState(ctx context.Context, id string, a store.AgencyState) (store.Referral, error) {
	r, err := e.changeRow(ctx, id, func(t Tx, r *Row, now time.Time) error {
		before := r.Agency
		if err := r.Report(now, a); err != nil {
			return err
		}
		return errors.Join(t.PutRow(r), count(t, r, now, agencyChange(before, a)))
	})
	return r, wrap("set agency state", err)
}

// agencyChange moves a candidate between the sums; whoever was interviewed or
// hired was introduced.
func agencyChange(before, after store.AgencyState) (d Counters) {
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
func (e *Engine) Suppress(ctx context.Context, company string, p store.PersonHash) error {
	return wrap("suppress", e.setSuppressed(ctx, company, p, true))
}

// Unsuppress implements store.People.
func (e *Engine) Unsuppress(ctx context.Context, company string, p store.PersonHash) error {
	return wrap("unsuppress", e.setSuppressed(ctx, company, p, false))
}

func (e *Engine) setSuppressed(ctx context.Context, company string, p store.PersonHash, out bool) error {
	if err := (store.Offer{Company: company, Person: p, Key: "-", Token: "-"}).Check(); err != nil {
		return err
	}
	return e.db.Write(ctx, func(t Tx) error {
		now := e.now()
		known, err := t.Person(PersonKey{Company: company, Person: p})
		if err != nil {
			return err
		}
		already, err := t.Suppressed(company, p) // after the lock
		if err != nil || already == out {
			return err
		}
		if err := markOptedOut(t, known.ID, out, now); err != nil {
			return err
		}
		if out {
			return errors.Join(t.PutSuppressed(company, p, now), t.Count(company, "", now, Counters{OptedOut: 1}))
		}
		return errors.Join(t.DeleteSuppressed(company, p), t.Count(company, "", now, Counters{OptedOut: -1}))
	})
}

// markOptedOut keeps the person's referral, if there is one, in step.
func markOptedOut(t Tx, id string, out bool, now time.Time) error {
	if id == "" {
		return nil
	}
	r, err := known(t, id)
	if err != nil {
		return err
	}
	step := r.OptBack
	if out {
		step = r.OptOut
	}
	return errors.Join(step(now), t.PutRow(r))
}

// Subject implements store.People.
func (e *Engine) Subject(ctx context.Context, company string, p store.PersonHash) (store.Subject, error) {
	var got store.Subject
	err := e.db.Read(ctx, func(t Tx) (err error) {
		got = store.Subject{}
		if got.OptedOut, err = t.Suppressed(company, p); err != nil {
			return err
		}
		for _, test := range []bool{false, true} {
			who, err := t.Person(PersonKey{Company: company, Test: test, Person: p})
			if err != nil {
				return err
			}
			got.Erased = got.Erased || who.Erased
			if who.ID == "" {
				continue
			}
			r, err := known(t, who.ID)
			if err != nil {
				return err
			}
			got.Referrals = append(got.Referrals, r.Referral)
		}
		return nil
	})
	return got, wrap("find person", err)
}
