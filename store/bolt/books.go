package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/careerrelay/careerrelay/store"
)

// errStop ends a scan early.
var errStop = errors.New("stop")

// scanFrom calls f for the records of a company from number on, decoded.
func scanFrom[T any](t *txn, bucket []byte, company string, from int64, f func(T) error) error {
	b := t.tx.Bucket(bucket)
	if b == nil {
		return damaged("bucket %s is missing", bucket)
	}
	prefix := company + sep
	c := b.Cursor()
	for k, v := c.Seek(seqKey(company, from)); k != nil && len(k) == len(prefix)+8 && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
		content, err := unframe(bucket, k, v)
		if err != nil {
			return fmt.Errorf("line %d of %s: %w", binary.BigEndian.Uint64(k[len(prefix):]), company, err)
		}
		var x T
		if err := json.Unmarshal(content, &x); err != nil {
			return damaged("record in %s: %v", bucket, err)
		}
		if err := f(x); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// earnedBy finds the live credit that a counted row belongs to, nil when it is
// pending. It reads the ledger from the row's own entry on: at most as far back
// as the cooling-off time, since only then is it asked.
func (t *txn) earnedBy(r *row) (*store.Entry, error) {
	var earned *store.Entry
	err := scanFrom(t, bucketLedger, r.Company, r.entry, func(e store.Entry) error {
		switch {
		case e.Kind == store.EntryEarn && slices.Contains(e.Rows, r.ID):
			earned = &e
		case e.Kind == store.EntryUnearn && earned != nil && e.Credit == earned.Credit:
			earned = nil
		}
		return nil
	})
	return earned, err
}

func (t *txn) saveIntroduction(i store.Introduction) error {
	return t.save(bucketIntros, seqKey(i.Company, i.Number), i)
}

// Introductions implements store.Books.
func (s *Store) Introductions(ctx context.Context, company string) ([]store.Introduction, error) {
	var got []store.Introduction
	err := s.view(ctx, func(t *txn) error {
		return scanFrom(t, bucketIntros, company, 0, func(i store.Introduction) error {
			got = append(got, i)
			return nil
		})
	})
	return got, wrap("list introductions", err)
}

// Advance implements store.Books.
func (s *Store) Advance(ctx context.Context, company string, number int64, step store.EntryKind, note string) (store.Introduction, error) {
	var got store.Introduction
	err := s.update(ctx, func(t *txn) error {
		var i store.Introduction
		found, err := t.load(bucketIntros, seqKey(company, number), &i)
		if err != nil {
			return err
		}
		if !found {
			return store.ErrNotFound
		}
		return t.withCompany(company, func(c *companyRecord) error {
			e, err := c.Book.Advance(s.now(), &i, step, note)
			if err != nil {
				return err
			}
			got = i
			return errors.Join(t.saveIntroduction(i), t.appendEntries(e))
		})
	})
	return got, wrap("advance introduction", err)
}

// Entries implements store.Books.
func (s *Store) Entries(ctx context.Context, company string, after int64, limit int) ([]store.Entry, error) {
	got, err := lines[store.Entry](ctx, s, bucketLedger, company, after, limit)
	return got, wrap("read ledger", err)
}

// Records implements store.Books.
func (s *Store) Records(ctx context.Context, company string, after int64, limit int) ([]store.Record, error) {
	got, err := lines[store.Record](ctx, s, bucketConsents, company, after, limit)
	return got, wrap("read consent book", err)
}

func lines[T any](ctx context.Context, s *Store, bucket []byte, company string, after int64, limit int) ([]T, error) {
	limit = store.Query{Limit: limit}.Size()
	var got []T
	err := s.view(ctx, func(t *txn) error {
		return scanFrom(t, bucket, company, after+1, func(x T) error {
			if len(got) == limit {
				return errStop
			}
			got = append(got, x)
			return nil
		})
	})
	return got, err
}

// Months implements store.Books. Months and rules come sorted.
func (s *Store) Months(ctx context.Context, company string) ([]store.Month, error) {
	var got []store.Month
	prefix := company + sep
	err := s.view(ctx, func(t *txn) error {
		return t.scan(bucketMonths, []byte(prefix), func(key, content []byte) error {
			var c counters
			if err := json.Unmarshal(content, &c); err != nil {
				return damaged("record in %s: %v", bucketMonths, err)
			}
			month, rule, _ := strings.Cut(string(key[len(prefix):]), sep)
			got = append(got, store.Month{Month: month[:4] + "-" + month[4:], Rule: rule, Counts: c.counts(company, store.Credits{})})
			return nil
		})
	})
	return got, wrap("read months", err)
}
