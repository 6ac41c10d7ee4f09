package bolt

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/careerrelay/careerrelay/store"
)

// resealStep bounds the profiles that one transaction replaces.
const resealStep = 100

// Reseal implements store.People. Only profiles that change asks to replace cost
// a commit.
func (s *Store) Reseal(ctx context.Context, change func(referral string, profile []byte) ([]byte, error)) (int64, error) {
	var total int64
	for after := ""; ; {
		due, last, err := s.resealPage(ctx, after, change)
		if err != nil {
			return total, wrap("reseal", err)
		}
		if last == "" {
			break
		}
		after = last
		for len(due) > 0 {
			step := due[:min(resealStep, len(due))]
			due = due[len(step):]
			n, err := s.resealRows(ctx, step, change)
			total += n
			if err != nil {
				return total, wrap("reseal", err)
			}
		}
	}
	n, err := s.resealHeld(ctx, change)
	return total + n, wrap("reseal", err)
}

// resealPage returns the ids of a page's referrals whose profile is to be
// replaced, and the page's last id; "" at the end.
func (s *Store) resealPage(ctx context.Context, after string, change func(string, []byte) ([]byte, error)) (due []string, last string, err error) {
	err = s.view(ctx, func(t *txn) error {
		rows, err := t.page(after, pageScan)
		if err != nil {
			return err
		}
		for _, r := range rows {
			last = r.ID
			next, err := resealed(r.ID, r.Consent, change)
			if err != nil {
				return err
			}
			if next != nil {
				due = append(due, r.ID)
			}
		}
		return nil
	})
	return due, last, err
}

func resealed(id string, c *store.Consent, change func(string, []byte) ([]byte, error)) ([]byte, error) {
	if c == nil || c.Profile == nil {
		return nil, nil
	}
	return change(id, bytes.Clone(c.Profile)) // it may outlive the transaction
}

func (s *Store) resealRows(ctx context.Context, ids []string, change func(string, []byte) ([]byte, error)) (n int64, err error) {
	err = s.update(ctx, func(t *txn) error {
		n = 0
		for _, id := range ids {
			r, err := t.rowByID(id)
			if err != nil {
				return err
			}
			next, err := resealed(id, r.Consent, change)
			if err != nil {
				return err
			}
			if next == nil {
				continue
			}
			r.Consent.Profile = next
			if err := t.saveRow(r); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// resealHeld is for the few consents that wait for a confirmation.
func (s *Store) resealHeld(ctx context.Context, change func(string, []byte) ([]byte, error)) (n int64, err error) {
	err = s.update(ctx, func(t *txn) error {
		n = 0
		changed := map[string]heldRecord{}
		err := t.scan(bucketHeld, nil, func(key, content []byte) error {
			var h heldRecord
			if err := json.Unmarshal(content, &h); err != nil {
				return damaged("record in %s: %v", bucketHeld, err)
			}
			next, err := resealed(h.Referral, h.Consent.consent(), change)
			if err == nil && next != nil {
				h.Consent.Profile = next
				changed[string(key)] = h
			}
			return err
		})
		if err != nil {
			return err
		}
		for key, h := range changed {
			if err := t.save(bucketHeld, []byte(key), h); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// Subject implements store.People.
func (s *Store) Subject(ctx context.Context, company string, p store.PersonHash) (store.Subject, error) {
	var got store.Subject
	err := s.view(ctx, func(t *txn) error {
		var err error
		if got.OptedOut, err = t.suppressed(company, p); err != nil {
			return err
		}
		for _, test := range []bool{false, true} {
			var rec personRecord
			found, err := t.load(bucketPersons, personKey(company, test, p), &rec)
			if err != nil {
				return err
			}
			got.Erased = got.Erased || rec.Erased
			if !found || rec.Erased {
				continue
			}
			r, err := t.loadRow(rec.ID)
			if err != nil {
				return err
			}
			got.Referrals = append(got.Referrals, r.Referral)
		}
		return nil
	})
	return got, wrap("find person", err)
}
