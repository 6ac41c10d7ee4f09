package bolt

import (
	"encoding/json"
	"fmt"

	"github.com/careerrelay/careerrelay/store"
	"go.etcd.io/bbolt"
)

// migration brings a file from format to-1 to format to, in one transaction.
type migration struct {
	to   int
	name string
	do   func(*txn) error
}

// migrations in order, without gaps; the last one's format is Format.
var migrations = []migration{
	{to: 2, name: "journal and fallen credits", do: toFormat2},
	{to: 3, name: "pace of companies", do: toFormat3},
	{to: 4, name: "delivered copies", do: toFormat4},
}

// toFormat2 makes the journal, and counts the fallen credits of each company:
// until then the balance was computed from one ratio for all time.
func toFormat2(t *txn) error {
	if _, err := t.tx.CreateBucketIfNotExists(bucketJournal); err != nil {
		return err
	}
	var companies []string
	err := t.scan(bucketCompanies, nil, func(key, _ []byte) error {
		companies = append(companies, string(key))
		return nil
	})
	for _, company := range companies {
		if err != nil {
			return err
		}
		err = t.withCompany(company, func(c *companyRecord) error {
			c.Book.Fallen = 0
			return scanFrom(t, bucketLedger, company+sep, 0, func(e store.Entry) error {
				if e.Kind == store.EntryUnearn {
					c.Book.Fallen++
				}
				return nil
			})
		})
	}
	return err
}

// toFormat3 makes the memory of the burst guard.
func toFormat3(t *txn) error {
	_, err := t.tx.CreateBucketIfNotExists(bucketPaces)
	return err
}

// toFormat4 makes the memory of delivered copies.
func toFormat4(t *txn) error {
	_, err := t.tx.CreateBucketIfNotExists(bucketCopies)
	return err
}

var keyIdentity = []byte("identity")

func readIdentity(db *bbolt.DB) (identity, error) {
	var id identity
	err := db.View(func(tx *bbolt.Tx) error {
		found, err := (&txn{tx: tx}).load(bucketMeta, keyIdentity, &id)
		if err == nil && !found {
			err = fmt.Errorf("%w: no identity record: this bbolt file was not made by Career Relay", ErrIdentity)
		}
		return err
	})
	return id, err
}

// writeIdentity makes the buckets of a new database.
func writeIdentity(db *bbolt.DB, id identity) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return (&txn{tx: tx}).save(bucketMeta, keyIdentity, id)
	})
}

// migrate brings an older file up to date, after a copy of it was made beside
// it, and refuses a newer one. Each step commits together with its number, so a
// crash between two steps is no harm.
func (s *Store) migrate(id identity, steps []migration) error {
	newest := Format
	if len(steps) > 0 {
		newest = steps[len(steps)-1].to
	}
	switch {
	case id.Format > newest:
		return fmt.Errorf("%w: format %d is newer than this program's %d: install the newer program, or restore an older backup",
			ErrFormat, id.Format, newest)
	case id.Format < 1:
		return fmt.Errorf("%w: format %d is unknown", ErrFormat, id.Format)
	case id.Format == newest:
		return nil
	}
	copyPath := fmt.Sprintf("%s.format-%d", s.path, id.Format)
	if err := copyTo(s.db, copyPath); err != nil {
		return fmt.Errorf("copy before upgrade: %w", err)
	}
	for _, m := range steps {
		if m.to <= id.Format {
			continue
		}
		if m.to != id.Format+1 {
			return fmt.Errorf("%w: no upgrade from format %d", ErrFormat, id.Format)
		}
		id.Format = m.to
		if err := s.step(m, id); err != nil {
			return fmt.Errorf("upgrade to format %d (%s), copy kept at %s: %w", m.to, m.name, copyPath, err)
		}
		s.log.Info("database upgraded", "format", m.to, "name", m.name)
	}
	return nil
}

func (s *Store) step(m migration, id identity) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		t := &txn{tx: tx}
		if err := m.do(t); err != nil {
			return err
		}
		content, err := json.Marshal(id)
		if err != nil {
			return err
		}
		return t.put(bucketMeta, keyIdentity, content)
	})
}
