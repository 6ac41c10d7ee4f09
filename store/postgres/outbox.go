package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
)

const deliveryColumns = "event, referral, company, at, attempts, next, error, dead"

func readDelivery(row pgx.CollectableRow) (store.Delivery, error) { return scanDelivery(row.Scan) }

func scanDelivery(scan func(...any) error) (d store.Delivery, err error) {
	err = scan(&d.ID, &d.Event, &d.Referral, &d.Company, &d.At, &d.Attempts, &d.Next, &d.Error, &d.Dead)
	d.At, d.Next = store.Clock(d.At), store.Clock(d.Next)
	return d, err
}

func deliveryValues(d store.Delivery) []any {
	return []any{string(d.Event), d.Referral, d.Company, d.At, d.Attempts, d.Next, d.Error, d.Dead}
}

// AddDelivery implements engine.Tx.
func (t *txn) AddDelivery(d store.Delivery) error {
	return t.exec("INSERT INTO outbox ("+deliveryColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", deliveryValues(d)...)
}

// PutDelivery implements engine.Tx.
func (t *txn) PutDelivery(d store.Delivery) error {
	return t.exec("INSERT INTO outbox ("+deliveryColumns+`, id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET event = $1, referral = $2, company = $3, at = $4, attempts = $5, next = $6, error = $7, dead = $8`,
		append(deliveryValues(d), d.ID)...)
}

const selectDelivery = "SELECT id, " + deliveryColumns + " FROM outbox "

// Delivery implements engine.Tx.
func (t *txn) Delivery(id int64) (store.Delivery, error) {
	return t.delivery(selectDelivery+"WHERE id = $1", id)
}

// LockDelivery implements engine.Tx.
func (t *txn) LockDelivery(id int64) (store.Delivery, error) {
	return t.delivery(t.locking(selectDelivery+"WHERE id = $1"), id)
}

func (t *txn) delivery(sql string, id int64) (store.Delivery, error) {
	return scanDelivery(func(to ...any) error { return t.one(sql, []any{id}, to...) })
}

// DeleteDelivery implements engine.Tx.
func (t *txn) DeleteDelivery(id int64) error { return t.exec("DELETE FROM outbox WHERE id = $1", id) }

// Due implements engine.Tx. No relay leads: each takes what no other has locked.
func (t *txn) Due(now time.Time, limit int) ([]store.Delivery, error) {
	return list(t, readDelivery, t.locking(selectDelivery+"WHERE NOT dead AND next <= $1 ORDER BY id LIMIT $2")+" SKIP LOCKED", now, limit)
}

// DeliveriesOf implements engine.Tx.
func (t *txn) DeliveriesOf(referral string) ([]store.Delivery, error) {
	return list(t, readDelivery, t.locking(selectDelivery+"WHERE referral = $1 ORDER BY id"), referral)
}

// Deliveries implements engine.Tx.
func (t *txn) Deliveries() ([]store.Delivery, error) {
	return list(t, readDelivery, selectDelivery+"ORDER BY id")
}

const heldColumns = "hash, referral, until, consent"

func scanHeld(scan func(...any) error) (h engine.Held, err error) {
	var consent []byte
	if err := scan(&h.Hash, &h.Referral, &h.Until, &consent); err != nil {
		return h, err
	}
	h.Until = store.Clock(h.Until)
	h.Consent, err = engine.DecodeConsent(consent)
	return h, err
}

// Held implements engine.Tx.
func (t *txn) Held(hash []byte) (engine.Held, error) {
	return scanHeld(func(to ...any) error {
		return t.one("SELECT "+heldColumns+" FROM held WHERE hash = $1", []any{hash}, to...)
	})
}

// Helds implements engine.Tx.
func (t *txn) Helds() ([]engine.Held, error) {
	read := func(row pgx.CollectableRow) (engine.Held, error) { return scanHeld(row.Scan) }
	return list(t, read, "SELECT "+heldColumns+" FROM held ORDER BY hash")
}

// PutHeld implements engine.Tx.
func (t *txn) PutHeld(h engine.Held) error {
	consent, err := engine.EncodeConsent(h.Consent)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO held ("+heldColumns+`) VALUES ($1, $2, $3, $4)
		ON CONFLICT (hash) DO UPDATE SET referral = $2, until = $3, consent = $4`, h.Hash, h.Referral, h.Until, optional(consent))
}

// DeleteHeld implements engine.Tx.
func (t *txn) DeleteHeld(hash []byte) error { return t.exec("DELETE FROM held WHERE hash = $1", hash) }

// DropHeld implements engine.Tx.
func (t *txn) DropHeld(referral string) error {
	return t.exec("DELETE FROM held WHERE referral = $1", referral)
}
