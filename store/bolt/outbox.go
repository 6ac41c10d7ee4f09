package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

func deliveryKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func (t *txn) saveDelivery(d store.Delivery) error {
	return t.save(bucketOutbox, deliveryKey(d.ID), d)
}

func (t *txn) loadDelivery(id int64) (store.Delivery, error) {
	var d store.Delivery
	found, err := t.load(bucketOutbox, deliveryKey(id), &d)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return d, err
}

// deliveries calls f for the whole outbox, oldest first.
func (t *txn) deliveries(f func(store.Delivery) error) error {
	err := t.scan(bucketOutbox, nil, func(_, content []byte) error {
		var d store.Delivery
		if err := json.Unmarshal(content, &d); err != nil {
			return damaged("record in %s: %v", bucketOutbox, err)
		}
		return f(d)
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// announce puts an event into the outbox. The end of a consent is told only when
// the agency may know of its beginning; an opt-in that nobody tried to deliver
// is taken out instead, and carries a change of the profile by itself.
func (s *Store) announce(t *txn, r *row, event store.Event, now time.Time) error {
	if !s.opt.Outbox || r.Test {
		return nil
	}
	tell := true
	var err error
	switch event {
	case store.EventWithdrawn, store.EventErased:
		tell, err = t.recall(r)
	case store.EventChanged:
		tell, err = t.outdated(r)
	}
	if err != nil || !tell {
		return err
	}
	b := t.tx.Bucket(bucketOutbox)
	if b == nil {
		return damaged("bucket %s is missing", bucketOutbox)
	}
	t.dirty = true
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return t.saveDelivery(store.Delivery{ID: int64(seq), Event: event, Referral: r.ID, Company: r.Company, At: now, Next: now})
}

// outdated reports whether the agency may have got the profile as it was before,
// with nothing on its way that will bring the new one.
func (t *txn) outdated(r *row) (bool, error) {
	told, waiting := !r.HandedOverAt.IsZero(), false
	err := t.deliveries(func(d store.Delivery) error {
		if d.Referral == r.ID && d.Event.Provides() {
			told = true
			waiting = waiting || d.Attempts == 0
		}
		return nil
	})
	return told && !waiting, err
}

// recall stops the deliveries that hand a referral's data over, and reports
// whether the agency may have got one. An attempted one stays as a dead letter: if it was on
// its way, its acknowledgement must still be recorded.
func (t *txn) recall(r *row) (told bool, err error) {
	told = !r.HandedOverAt.IsZero()
	var change []store.Delivery
	err = t.deliveries(func(d store.Delivery) error {
		if d.Referral == r.ID && d.Event.Provides() {
			change = append(change, d)
		}
		return nil
	})
	for _, d := range change {
		if err != nil {
			return false, err
		}
		if d.Attempts == 0 {
			err = t.delete(bucketOutbox, deliveryKey(d.ID))
			continue
		}
		told = true
		d.Dead, d.Error = true, "consent ended before an acknowledgement"
		err = t.saveDelivery(d)
	}
	return told, err
}

// oldLetters returns the ids of dead letters of events before a time.
func (t *txn) oldLetters(before time.Time) (old []int64, err error) {
	err = t.deliveries(func(d store.Delivery) error {
		if d.Dead && d.At.Before(before) {
			old = append(old, d.ID)
		}
		return nil
	})
	return old, err
}

// deleteLetters deletes the old ones.
func (t *txn) deleteLetters(before time.Time) (int64, error) {
	old, err := t.oldLetters(before)
	for _, id := range old {
		err = errors.Join(err, t.delete(bucketOutbox, deliveryKey(id)))
	}
	return int64(len(old)), err
}

// Claim implements store.Outbox.
func (s *Store) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Delivery, error) {
	var got []store.Delivery
	err := s.update(ctx, func(t *txn) error {
		now := s.now()
		due := []store.Delivery{}
		err := t.deliveries(func(d store.Delivery) error {
			if len(due) == limit {
				return errStop
			}
			if !d.Dead && !now.Before(d.Next) {
				due = append(due, d)
			}
			return nil
		})
		for i := range due {
			due[i].Attempts++
			due[i].Next = store.Clock(now.Add(lease))
			err = errors.Join(err, t.saveDelivery(due[i]))
		}
		got = due
		return err
	})
	return got, wrap("claim deliveries", err)
}

// Delivered implements store.Outbox.
func (s *Store) Delivered(ctx context.Context, id int64, to store.Receiver) error {
	err := s.update(ctx, func(t *txn) error {
		d, err := t.loadDelivery(id)
		if err != nil {
			return err
		}
		if d.Event.Provides() {
			if err := s.provide(t, d, to); err != nil {
				return err
			}
		}
		return t.delete(bucketOutbox, deliveryKey(id))
	})
	return wrap("record delivery", err)
}

// provide writes the record of provision. The data were handed over even when
// the consent ended while they were on their way.
func (s *Store) provide(t *txn, d store.Delivery, to store.Receiver) error {
	r, err := t.loadRow(d.Referral)
	if err != nil {
		return err
	}
	now := s.now()
	if r.State == store.OptedIn {
		first := r.HandedOverAt.IsZero()
		if err := r.HandOver(now); err != nil {
			return err
		}
		if first {
			if err := errors.Join(t.saveRow(r), t.count(r, now, counters{HandedOver: 1})); err != nil {
				return err
			}
		}
	}
	return t.proveProvision(r, to, now)
}

// Failed implements store.Outbox.
func (s *Store) Failed(ctx context.Context, id int64, cause string, next time.Time) error {
	err := s.update(ctx, func(t *txn) error {
		d, err := t.loadDelivery(id)
		if err != nil {
			return err
		}
		if d.Dead {
			return nil // recalled meanwhile
		}
		d.Error, d.Dead = cause, next.IsZero()
		if !d.Dead {
			d.Next = store.Clock(next)
		}
		return t.saveDelivery(d)
	})
	return wrap("record failed delivery", err)
}

// Deliveries implements store.Outbox.
func (s *Store) Deliveries(ctx context.Context) ([]store.Delivery, error) {
	var got []store.Delivery
	err := s.view(ctx, func(t *txn) error {
		return t.deliveries(func(d store.Delivery) error {
			got = append(got, d)
			return nil
		})
	})
	return got, wrap("list deliveries", err)
}

// Requeue implements store.Outbox.
func (s *Store) Requeue(ctx context.Context, id int64) error {
	err := s.update(ctx, func(t *txn) error {
		d, err := t.loadDelivery(id)
		if err != nil {
			return err
		}
		if d.Event.Provides() {
			r, err := t.loadRow(d.Referral)
			if err != nil {
				return err
			}
			if r.State != store.OptedIn {
				return store.ErrWrongState // the consent ended: nothing may be handed over
			}
		}
		d.Dead, d.Next = false, s.now()
		return t.saveDelivery(d)
	})
	return wrap("requeue delivery", err)
}
