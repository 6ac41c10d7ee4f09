package postgres

import "time"

// AddCopy implements engine.Tx.
func (t *txn) AddCopy(key string, at time.Time) error {
	return t.exec("INSERT INTO copies (key, at) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET at = excluded.at", key, at)
}

// HasCopy implements engine.Tx.
func (t *txn) HasCopy(key string, since time.Time) (bool, error) {
	n, err := t.count("SELECT 1 FROM copies WHERE key = $1 AND at > $2", key, since)
	return n > 0, err
}

// DeleteCopies implements engine.Tx.
func (t *txn) DeleteCopies(before time.Time) error {
	return t.exec("DELETE FROM copies WHERE at < $1", before)
}
