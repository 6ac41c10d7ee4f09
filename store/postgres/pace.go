package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/careerrelay/careerrelay/store"
)

// AddPace implements engine.Tx.
func (t *txn) AddPace(p store.Pace) error {
	return t.exec(`INSERT INTO paces (company, slot, allowed, refused) VALUES ($1, $2, $3, $4)
		ON CONFLICT (company, slot) DO UPDATE SET allowed = paces.allowed + excluded.allowed, refused = paces.refused + excluded.refused`,
		p.Company, p.Slot, p.Allowed, p.Refused)
}

// Paces implements engine.Tx.
func (t *txn) Paces(company string, since time.Time) ([]store.Pace, error) {
	return list(t, func(row pgx.CollectableRow) (store.Pace, error) {
		p := store.Pace{Company: company}
		err := row.Scan(&p.Slot, &p.Allowed, &p.Refused)
		p.Slot = store.Clock(p.Slot)
		return p, err
	}, "SELECT slot, allowed, refused FROM paces WHERE company = $1 AND slot >= $2 ORDER BY slot", company, since)
}

// DeletePaces implements engine.Tx.
func (t *txn) DeletePaces(company string, before time.Time) error {
	return t.exec("DELETE FROM paces WHERE company = $1 AND slot < $2", company, before)
}
