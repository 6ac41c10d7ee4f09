package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// count adds the events of a referral to its company's totals and month. Test
// mode is never counted.
func count(t Tx, r *Row, now time.Time, d Counters) error {
	if r.Test || d == (Counters{}) {
		return nil
	}
	return t.Count(r.Company, r.Rule, now, d)
}

// withBook changes a company's book; do must not write when it fails.
func withBook(t Tx, company string, do func(*store.Book) error) error {
	b, err := t.Book(company)
	if err != nil {
		return err
	}
	if err := do(&b); err != nil {
		return err
	}
	return t.PutBook(company, b)
}

// Add implements store.Store.
func (e *Engine) Add(ctx context.Context, company, rule string, d store.Traffic) error {
	if err := (store.Offer{Company: company, Rule: rule, Key: "-", Token: "-", Person: "-"}).Check(); err != nil {
		return fmt.Errorf("add traffic: %w", err)
	}
	err := e.db.Write(ctx, func(t Tx) error {
		return t.Count(company, rule, e.now(), Counters{Seen: d.Seen, Matched: d.Matched, Near: d.Near, Inserted: d.Inserted})
	})
	return wrap("add traffic", err)
}

// Report implements store.Store. All companies come sorted by id.
func (e *Engine) Report(ctx context.Context, company string) ([]store.Counts, error) {
	var rows []store.Counts
	err := e.db.Read(ctx, func(t Tx) error {
		totals, err := t.Totals(company)
		if err != nil {
			return err
		}
		rows = nil
		for _, c := range totals {
			rows = append(rows, c.counts(c.Company, c.Book.Tally()))
		}
		if company != "" && len(rows) == 0 {
			rows = []store.Counts{{Company: company}}
		}
		return nil
	})
	return rows, wrap("report", err)
}

// Credits implements store.Store.
func (e *Engine) Credits(ctx context.Context, company string) (store.Credits, error) {
	var got store.Credits
	err := e.db.Read(ctx, func(t Tx) error {
		b, err := t.Book(company)
		got = b.Tally()
		return err
	})
	return got, wrap("credits", err)
}

// Redeem implements store.Store.
func (e *Engine) Redeem(ctx context.Context, company, note string) (store.Introduction, error) {
	var got store.Introduction
	err := e.db.Write(ctx, func(t Tx) error {
		return withBook(t, company, func(b *store.Book) error {
			i, entry, err := b.Redeem(e.now(), company, note)
			if err != nil {
				return err
			}
			got = i
			return errors.Join(t.PutIntroduction(i), t.AppendEntries(entry))
		})
	})
	if err != nil {
		got = store.Introduction{}
	}
	return got, wrap("redeem", err)
}

// Introductions implements store.Books.
func (e *Engine) Introductions(ctx context.Context, company string) ([]store.Introduction, error) {
	var got []store.Introduction
	err := e.db.Read(ctx, func(t Tx) (err error) {
		got, err = t.Introductions(company)
		return err
	})
	return got, wrap("list introductions", err)
}

// Advance implements store.Books.
func (e *Engine) Advance(ctx context.Context, company string, number int64, step store.EntryKind, note string) (store.Introduction, error) {
	var got store.Introduction
	err := e.db.Write(ctx, func(t Tx) error {
		return withBook(t, company, func(b *store.Book) error {
			i, err := t.Introduction(company, number) // the book's lock covers it
			if err != nil {
				return err
			}
			entry, err := b.Advance(e.now(), &i, step, note)
			if err != nil {
				return err
			}
			got = i
			return errors.Join(t.PutIntroduction(i), t.AppendEntries(entry))
		})
	})
	return got, wrap("advance introduction", err)
}

// Entries implements store.Books.
func (e *Engine) Entries(ctx context.Context, company string, after int64, limit int) ([]store.Entry, error) {
	var got []store.Entry
	err := e.db.Read(ctx, func(t Tx) (err error) {
		got, err = t.Entries(company, after+1, store.Query{Limit: limit}.Size())
		return err
	})
	return got, wrap("read ledger", err)
}

// Records implements store.Books.
func (e *Engine) Records(ctx context.Context, company string, after int64, limit int) ([]store.Record, error) {
	var got []store.Record
	err := e.db.Read(ctx, func(t Tx) (err error) {
		got, err = t.Records(company, after+1, store.Query{Limit: limit}.Size())
		return err
	})
	return got, wrap("read consent book", err)
}

// Months implements store.Books. Months and rules come sorted.
func (e *Engine) Months(ctx context.Context, company string) ([]store.Month, error) {
	var got []store.Month
	err := e.db.Read(ctx, func(t Tx) error {
		months, err := t.Months(company)
		got = nil
		for _, m := range months {
			got = append(got, store.Month{Month: m.Month, Rule: m.Rule, Counts: m.counts(company, store.Credits{})})
		}
		return err
	})
	return got, wrap("read months", err)
}

// linePage is how many lines of a book are read at a time.
const linePage = 1000

// eachEntry calls do for the ledger lines of a company from a number on.
func eachEntry(t Tx, company string, from int64, do func(store.Entry)) error {
	return eachLine(t.Entries, company, from, func(e store.Entry) int64 { do(e); return e.Seq })
}

// eachRecord calls do for the consent records of a company from a number on.
func eachRecord(t Tx, company string, from int64, do func(store.Record)) error {
	return eachLine(t.Records, company, from, func(r store.Record) int64 { do(r); return r.Seq })
}

// eachLine reads page after page; do returns the line's number.
func eachLine[T any](page func(string, int64, int) ([]T, error), company string, from int64, do func(T) int64) error {
	for {
		lines, err := page(company, from, linePage)
		for _, l := range lines {
			from = do(l) + 1
		}
		if err != nil || len(lines) < linePage {
			return err
		}
	}
}
