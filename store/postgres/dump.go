package postgres

import (
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
)

// each reads the rows of a query one by one; do must not use the transaction.
func each[T any](t *txn, read func(pgx.CollectableRow) (T, error), do func(T) error, sql string) error {
	if t.failed != nil {
		return t.failed
	}
	rows, err := t.tx.Query(t.ctx, sql)
	if err != nil {
		return t.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		x, err := read(rows)
		if err != nil {
			return t.fail(err)
		}
		if err := do(x); err != nil {
			return err
		}
	}
	return t.fail(rows.Err())
}

// EachErased implements engine.Tx. A mark says nothing while there is a referral
// of the person again, unless the erased one counts.
func (t *txn) EachErased(do func(engine.Erased) error) error {
	return each(t, func(row pgx.CollectableRow) (x engine.Erased, err error) {
		return x, row.Scan(&x.Company, &x.Person, &x.Counted)
	}, do, `SELECT company, person, counted FROM erased AS e
		WHERE counted OR NOT EXISTS (SELECT 1 FROM referrals AS r WHERE r.company = e.company AND NOT r.test AND r.person = e.person)
		ORDER BY company, person`)
}

// EachSuppressed implements engine.Tx.
func (t *txn) EachSuppressed(do func(engine.Suppression) error) error {
	return each(t, func(row pgx.CollectableRow) (x engine.Suppression, err error) {
		err = row.Scan(&x.Company, &x.Person, &x.At)
		x.At = store.Clock(x.At)
		return x, err
	}, do, "SELECT company, person, at FROM suppressed ORDER BY company, person")
}

// EachCandidate implements engine.Tx.
func (t *txn) EachCandidate(do func(engine.Candidate) error) error {
	return each(t, func(row pgx.CollectableRow) (x engine.Candidate, err error) {
		var id []byte
		err = row.Scan(&x.Person, &id)
		x.Referral = idText(id)
		return x, err
	}, do, "SELECT candidate, referral FROM candidates ORDER BY candidate")
}

// EachCopy implements engine.Tx. The order is that of the embedded store: by days.
func (t *txn) EachCopy(do func(engine.Copy) error) error {
	return each(t, func(row pgx.CollectableRow) (x engine.Copy, err error) {
		err = row.Scan(&x.Key, &x.At)
		x.At = store.Clock(x.At)
		return x, err
	}, do, "SELECT key, at FROM copies ORDER BY floor(extract(epoch FROM at) / 86400), key")
}

// LastDelivery implements engine.Tx.
func (t *txn) LastDelivery() (id int64, err error) {
	err = t.one("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_id", nil, &id)
	return id, err
}

// SetLastDelivery implements engine.Tx.
func (t *txn) SetLastDelivery(id int64) error {
	return t.exec("SELECT setval('outbox_id', $1, $2)", max(1, id), id > 0)
}

// Progress implements engine.Tx.
func (t *txn) Progress() (*engine.Progress, error) {
	var content string
	err := t.one("SELECT value FROM meta WHERE key = 'import'", nil, &content)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := new(engine.Progress)
	return p, json.Unmarshal([]byte(content), p)
}

// PutProgress implements engine.Tx.
func (t *txn) PutProgress(p *engine.Progress) error {
	if p == nil {
		return t.exec("DELETE FROM meta WHERE key = 'import'")
	}
	content, err := text(p)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO meta (key, value) VALUES ('import', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", content)
}
