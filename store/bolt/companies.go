package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// count adds the events of a referral to its company's totals and month. Test
// mode is never counted.
func (t *txn) count(r *row, now time.Time, d counters) error {
	if r.Test || d == (counters{}) {
		return nil
	}
	return t.tally(r.Company, r.Rule, now, d)
}

func (t *txn) tally(company, rule string, now time.Time, d counters) error {
	err := t.withCompany(company, func(c *companyRecord) error {
		c.Counters.add(d)
		return nil
	})
	if err != nil {
		return err
	}
	var month counters
	key := monthKey(company, now, rule)
	if _, err := t.load(bucketMonths, key, &month); err != nil {
		return err
	}
	month.add(d)
	return t.save(bucketMonths, key, month)
}

// withCompany changes a company's record; do must not write when it fails.
func (t *txn) withCompany(company string, do func(*companyRecord) error) error {
	var c companyRecord
	if _, err := t.load(bucketCompanies, []byte(company), &c); err != nil {
		return err
	}
	if err := do(&c); err != nil {
		return err
	}
	return t.save(bucketCompanies, []byte(company), &c)
}

// appendEntries writes chained entries under their numbers.
func (t *txn) appendEntries(entries ...store.Entry) error {
	for _, e := range entries {
		if err := t.save(bucketLedger, seqKey(e.Company, e.Seq), e); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) appendRecord(r store.Record) error {
	return t.save(bucketConsents, seqKey(r.Company, r.Seq), r)
}

// Add implements store.Store.
func (s *Store) Add(ctx context.Context, company, rule string, d store.Traffic) error {
	if err := (store.Offer{Company: company, Rule: rule, Key: "-", Token: "-", Person: "-"}).Check(); err != nil {
		return fmt.Errorf("add traffic: %w", err)
	}
	err := s.update(ctx, func(t *txn) error {
		return t.tally(company, rule, s.now(), counters{Seen: d.Seen, Matched: d.Matched, Near: d.Near, Inserted: d.Inserted})
	})
	return wrap("add traffic", err)
}

// Report implements store.Store. All companies come sorted by id.
func (s *Store) Report(ctx context.Context, company string) ([]store.Counts, error) {
	var rows []store.Counts
	err := s.view(ctx, func(t *txn) error {
		if company == "" {
			var err error
			rows, err = t.reportAll()
			return err
		}
		var c companyRecord
		if _, err := t.load(bucketCompanies, []byte(company), &c); err != nil {
			return err
		}
		rows = []store.Counts{c.counts(company)}
		return nil
	})
	return rows, wrap("report", err)
}

func (t *txn) reportAll() ([]store.Counts, error) {
	var rows []store.Counts
	err := t.scan(bucketCompanies, nil, func(key, content []byte) error {
		var c companyRecord
		if err := json.Unmarshal(content, &c); err != nil {
			return damaged("record in %s: %v", bucketCompanies, err)
		}
		rows = append(rows, c.counts(string(key)))
		return nil
	})
	return rows, err
}

// Credits implements store.Store.
func (s *Store) Credits(ctx context.Context, company string) (store.Credits, error) {
	var got store.Credits
	err := s.view(ctx, func(t *txn) error {
		var c companyRecord
		if _, err := t.load(bucketCompanies, []byte(company), &c); err != nil {
			return err
		}
		got = c.Book.Tally()
		return nil
	})
	return got, wrap("credits", err)
}

// Redeem implements store.Store.
func (s *Store) Redeem(ctx context.Context, company, note string) (store.Introduction, error) {
	var got store.Introduction
	err := s.update(ctx, func(t *txn) error {
		return t.withCompany(company, func(c *companyRecord) error {
			i, e, err := c.Book.Redeem(s.now(), company, note)
			if err != nil {
				return err
			}
			got = i
			return errors.Join(t.saveIntroduction(i), t.appendEntries(e))
		})
	})
	if err != nil {
		got = store.Introduction{}
	}
	return got, wrap("redeem", err)
}

var keyPing = []byte("ping")

// Ping implements store.Store with a real commit: a full disk or a folder that
// turned read-only shows nowhere else.
func (s *Store) Ping(ctx context.Context) error {
	err := s.update(ctx, func(t *txn) error {
		return t.save(bucketMeta, keyPing, toMicros(s.now()))
	})
	return wrap("ping store", err)
}
