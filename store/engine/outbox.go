package engine

import (
	"context"
	"errors"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// announce puts an event into the outbox. The end of a consent is told only when
// the agency may know of its beginning; an opt-in that nobody tried to deliver
// is taken out instead, and carries a change of the profile by itself.
func (e *Engine) announce(t Tx, r *Row, event store.Event, now time.Time) error {
	if !e.opt.Outbox || r.Test {
		return nil
	}
	tell := true
	var err error
	switch event {
	case store.EventWithdrawn, store.EventErased:
		tell, err = recall(t, r)
	case store.EventChanged:
		tell, err = outdated(t, r)
	}
	if err != nil || !tell {
		return err
	}
	return t.AddDelivery(store.Delivery{Event: event, Referral: r.ID, Company: r.Company, At: now, Next: now})
}

// outdated reports whether the agency may have got the profile as it was before,
// with nothing on its way that will bring the new one.
func outdated(t Tx, r *Row) (bool, error) {
	told, waiting := !r.HandedOverAt.IsZero(), false
	all, err := t.DeliveriesOf(r.ID)
	for _, d := range all {
		if d.Event.Provides() {
			told = true
			waiting = waiting || d.Attempts == 0
		}
	}
	return told && !waiting, err
}

// recall stops the deliveries that hand a referral's data over, and reports
// whether the agency may have got one. An attempted one stays as a dead letter: if it was on its way, its acknowledgement must still be recorded.
func recall(t Tx, r *Row) (told bool, err error) {
	told = !r.HandedOverAt.IsZero()
	waiting, err := t.DeliveriesOf(r.ID)
	for _, d := range waiting {
		if err != nil {
			return false, err
		}
		if !d.Event.Provides() {
			continue
		}
		if d.Attempts == 0 {
			err = t.DeleteDelivery(d.ID)
			continue
		}
		told = true
		d.Dead, d.Error = true, "consent ended before an acknowledgement"
		err = t.PutDelivery(d)
	}
	return told, err
}

// Claim implements store.Outbox.
func (e *Engine) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Delivery, error) {
	var got []store.Delivery
	err := e.db.Write(ctx, func(t Tx) error {
		now := e.now()
		due, err := t.Due(now, limit)
		for i := range due {
			due[i].Attempts++
			due[i].Next = store.Clock(now.Add(lease))
			err = errors.Join(err, t.PutDelivery(due[i]))
		}
		got = due
		return err
	})
	return got, wrap("claim deliveries", err)
}

// Delivered implements store.Outbox.
func (e *Engine) Delivered(ctx context.Context, id int64, to store.Receiver) error {
	err := e.db.Write(ctx, func(t Tx) error {
		d, r, err := deliveryAndRow(t, id)
		if err != nil {
			return err
		}
		if d.Event.Provides() {
			if err := e.provide(t, r, to); err != nil {
				return err
			}
		}
		return t.DeleteDelivery(id)
	})
	return wrap("record delivery", err)
}

// deliveryAndRow locks a delivery and its referral, in the order of locks. The
// row is nil when the delivery needs none.
func deliveryAndRow(t Tx, id int64) (d store.Delivery, r *Row, err error) {
	if d, err = t.Delivery(id); err != nil {
		return d, nil, err
	}
	if d.Event.Provides() {
		if r, err = known(t, d.Referral); err != nil {
			return d, nil, err
		}
	}
	d, err = t.LockDelivery(id)
	return d, r, err
}

// provide writes the record of provision. The data were handed over even when
// the consent ended while they were on their way.
func (e *Engine) provide(t Tx, r *Row, to store.Receiver) error {
	now := e.now()
	var d Counters
	if r.State == store.OptedIn {
		if r.HandedOverAt.IsZero() {
			d.HandedOver = 1
		}
		if err := errors.Join(r.HandOver(now), t.PutRow(r)); err != nil {
			return err
		}
	}
	return errors.Join(proveProvision(t, r, to, now), count(t, r, now, d))
}

// Failed implements store.Outbox.
func (e *Engine) Failed(ctx context.Context, id int64, cause string, next time.Time) error {
	err := e.db.Write(ctx, func(t Tx) error {
		d, err := t.LockDelivery(id)
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
		return t.PutDelivery(d)
	})
	return wrap("record failed delivery", err)
}

// Deliveries implements store.Outbox.
func (e *Engine) Deliveries(ctx context.Context) ([]store.Delivery, error) {
	var got []store.Delivery
	err := e.db.Read(ctx, func(t Tx) (err error) {
		got, err = t.Deliveries()
		return err
	})
	return got, wrap("list deliveries", err)
}

// Requeue implements store.Outbox.
func (e *Engine) Requeue(ctx context.Context, id int64) error {
	err := e.db.Write(ctx, func(t Tx) error {
		d, r, err := deliveryAndRow(t, id)
		if err != nil {
			return err
		}
		if r != nil && r.State != store.OptedIn {
			return store.ErrWrongState // the consent ended: nothing may be handed over
		}
		d.Dead, d.Next = false, e.now()
		return t.PutDelivery(d)
	})
	return wrap("requeue delivery", err)
}
