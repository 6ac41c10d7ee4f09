package postgres

import (
	"encoding/json"
	"errors"

	"github.com/careerrelay/careerrelay/store"
)

// Trail implements engine.Tx. In a Write its row is made first, if need be: a row
// that is not there cannot be locked.
func (t *txn) Trail() (trail store.Trail, err error) {
	if t.locks {
		if err := t.exec("INSERT INTO meta (key, value) VALUES ('trail', '{}') ON CONFLICT (key) DO NOTHING"); err != nil {
			return trail, err
		}
	}
	var content string
	err = t.one(t.locking("SELECT value FROM meta WHERE key = 'trail'"), nil, &content)
	if errors.Is(err, store.ErrNotFound) {
		return trail, nil
	}
	if err != nil {
		return trail, err
	}
	return trail, json.Unmarshal([]byte(content), &trail)
}

// PutTrail implements engine.Tx.
func (t *txn) PutTrail(trail store.Trail) error {
	content, err := text(trail)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO meta (key, value) VALUES ('trail', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", content)
}

// PutNote implements engine.Tx.
func (t *txn) PutNote(n store.Note) error {
	content, err := text(n)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO journal (seq, line) VALUES ($1, $2)", n.Seq, content)
}

// Notes implements engine.Tx.
func (t *txn) Notes(from int64, limit int) ([]store.Note, error) {
	return lines[store.Note](t, "SELECT line FROM journal WHERE seq >= $1 ORDER BY seq LIMIT $2", from, limit)
}

// DeleteNotes implements engine.Tx.
func (t *txn) DeleteNotes(to int64) error { return t.exec("DELETE FROM journal WHERE seq <= $1", to) }
