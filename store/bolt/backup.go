package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Backup writes a copy of the running database to path: one consistent moment,
// while mail goes on. The copy appears under its name only when it is complete
// and on disk. Ship it elsewhere afterwards, not through a slow pipe: pages that
// are freed while it is written cannot be used again until it is done.
func (s *Store) Backup(ctx context.Context, path string) error {
	err := s.view(ctx, func(t *txn) error { return writeCopy(t.tx, path) })
	if err != nil {
		return fmt.Errorf("back up store to %s: %w", path, err)
	}
	return nil
}

func copyTo(db *bbolt.DB, path string) error {
	return db.View(func(tx *bbolt.Tx) error { return writeCopy(tx, path) })
}

func writeCopy(tx *bbolt.Tx, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = tx.WriteTo(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(path)
}
