package bolt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// paceKey orders a company's slots by time.
func paceKey(company string, slot time.Time) []byte { return seqKey(company, slot.Unix()) }

// AddPace implements store.Paces.
func (s *Store) AddPace(ctx context.Context, p store.Pace) error {
	if err := p.Check(); err != nil {
		return fmt.Errorf("add pace: %w", err)
	}
	err := s.update(ctx, func(t *txn) error {
		key, sum := paceKey(p.Company, p.Slot), store.Pace{Slot: p.Slot}
		if _, err := t.load(bucketPaces, key, &sum); err != nil {
			return err
		}
		sum.Allowed += p.Allowed
		sum.Refused += p.Refused
		return errors.Join(t.save(bucketPaces, key, sum), t.forgetPaces(p.Company, p.Slot.Add(-store.PaceLife)))
	})
	return wrap("add pace", err)
}

// forgetPaces deletes what begins before an instant.
func (t *txn) forgetPaces(company string, before time.Time) error {
	var old []time.Time
	err := scanFrom(t, bucketPaces, company, 0, func(p store.Pace) error {
		if !p.Slot.Before(before) {
			return errStop
		}
		old = append(old, p.Slot)
		return nil
	})
	for _, slot := range old {
		err = errors.Join(err, t.delete(bucketPaces, paceKey(company, slot)))
	}
	return err
}

// Pace implements store.Paces.
func (s *Store) Pace(ctx context.Context, company string, since time.Time) ([]store.Pace, error) {
	var got []store.Pace
	err := s.view(ctx, func(t *txn) error {
		return scanFrom(t, bucketPaces, company, max(0, since.Unix()), func(p store.Pace) error {
			if p.Company = company; !p.Slot.Before(since) {
				got = append(got, p)
			}
			return nil
		})
	})
	return got, wrap("read pace", err)
}
