package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
)

// Book implements engine.Tx. In a Write the row is made first, if need be: a row
// that is not there cannot be locked.
func (t *txn) Book(company string) (b store.Book, err error) {
	var content []byte
	const read = "SELECT book FROM books WHERE company = $1"
	err = t.one(t.locking(read), []any{company}, &content)
	if errors.Is(err, store.ErrNotFound) && t.locks {
		if err := t.exec("INSERT INTO books (company, book) VALUES ($1, '{}') ON CONFLICT (company) DO NOTHING", company); err != nil {
			return b, err
		}
		err = t.one(t.locking(read), []any{company}, &content)
	}
	if errors.Is(err, store.ErrNotFound) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	return b, json.Unmarshal(content, &b)
}

// PutBook implements engine.Tx.
func (t *txn) PutBook(company string, b store.Book) error {
	content, err := text(b)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO books (company, book) VALUES ($1, $2) ON CONFLICT (company) DO UPDATE SET book = excluded.book`, company, content)
}

const counterColumns = `seen, matched, near, inserted, sent, opened_human, opened_machine, opted_in, opted_out, withdrawn, handed_over,
	introduced, hired, purged`

// fields are the counters in the order of counterColumns.
func fields(c *engine.Counters) []any {
	return []any{&c.Seen, &c.Matched, &c.Near, &c.Inserted, &c.Sent, &c.OpenedHuman, &c.OpenedMachine, &c.OptedIn, &c.OptedOut, &c.Withdrawn, &c.HandedOver,
		&c.Introduced, &c.Hired, &c.Purged}
}

// countSQL adds to the sum of all time and to that of a month, in this order.
var countSQL = func() string {
	var values, sums []string
	for i, name := range strings.Split(counterColumns, ",") {
		name = strings.TrimSpace(name)
		values = append(values, fmt.Sprintf("$%d::bigint", i+4))
		sums = append(sums, fmt.Sprintf("%s = counters.%[1]s + excluded.%[1]s", name))
	}
	row := strings.Join(values, ", ")
	return fmt.Sprintf(`INSERT INTO counters (company, month, rule, %s) VALUES ($1, '', '', %s), ($1, $2, $3, %[2]s)
		ON CONFLICT (company, month, rule) DO UPDATE SET %[3]s`, counterColumns, row, strings.Join(sums, ", "))
}()

// Count implements engine.Tx.
func (t *txn) Count(company, rule string, at time.Time, c engine.Counters) error {
	return t.exec(countSQL, append([]any{company, at.UTC().Format("2006-01"), rule}, fields(&c)...)...)
}

// Totals implements engine.Tx.
func (t *txn) Totals(company string) ([]engine.Total, error) {
	all, err := list(t, func(row pgx.CollectableRow) (x engine.Total, err error) {
		var book []byte
		if err := row.Scan(append([]any{&x.Company, &book}, fields(&x.Counters)...)...); err != nil || book == nil {
			return x, err
		}
		return x, json.Unmarshal(book, &x.Book)
	}, `SELECT company, book, `+counterColumns+` FROM counters LEFT JOIN books USING (company)
		WHERE month = '' AND rule = '' AND ($1 = '' OR company = $1)`, company)
	slices.SortFunc(all, func(a, b engine.Total) int { return strings.Compare(a.Company, b.Company) }) // by bytes, whatever the database's language
	return all, err
}

// Months implements engine.Tx.
func (t *txn) Months(company string) ([]engine.Month, error) {
	all, err := list(t, func(row pgx.CollectableRow) (x engine.Month, err error) {
		return x, row.Scan(append([]any{&x.Month, &x.Rule}, fields(&x.Counters)...)...)
	}, "SELECT month, rule, "+counterColumns+" FROM counters WHERE company = $1 AND month <> ''", company)
	slices.SortFunc(all, func(a, b engine.Month) int {
		return strings.Compare(a.Month+"\x00"+a.Rule, b.Month+"\x00"+b.Rule)
	})
	return all, err
}

// AppendEntries implements engine.Tx.
func (t *txn) AppendEntries(entries ...store.Entry) error {
	for _, e := range entries {
		if err := t.appendLine("INSERT INTO ledger (company, seq, line) VALUES ($1, $2, $3)", e.Company, e.Seq, e); err != nil {
			return err
		}
	}
	return nil
}

// AppendRecord implements engine.Tx.
func (t *txn) AppendRecord(r store.Record) error {
	return t.appendLine("INSERT INTO consents (company, seq, line) VALUES ($1, $2, $3)", r.Company, r.Seq, r)
}

func (t *txn) appendLine(sql, company string, number int64, line any) error {
	content, err := text(line)
	if err != nil {
		return err
	}
	return t.exec(sql, company, number, content)
}

// Entries implements engine.Tx.
func (t *txn) Entries(company string, from int64, limit int) ([]store.Entry, error) {
	return lines[store.Entry](t, "SELECT line FROM ledger WHERE company = $1 AND seq >= $2 ORDER BY seq LIMIT $3", company, from, limit)
}

// Records implements engine.Tx.
func (t *txn) Records(company string, from int64, limit int) ([]store.Record, error) {
	return lines[store.Record](t, "SELECT line FROM consents WHERE company = $1 AND seq >= $2 ORDER BY seq LIMIT $3", company, from, limit)
}

// DeleteRecords implements engine.Tx.
func (t *txn) DeleteRecords(company string, to int64) error {
	return t.exec("DELETE FROM consents WHERE company = $1 AND seq <= $2", company, to)
}

// Introduction implements engine.Tx.
func (t *txn) Introduction(company string, number int64) (i store.Introduction, err error) {
	all, err := lines[store.Introduction](t, "SELECT line FROM introductions WHERE company = $1 AND number = $2", company, number)
	if err != nil {
		return i, err
	}
	if len(all) == 0 {
		return i, store.ErrNotFound
	}
	return all[0], nil
}

// PutIntroduction implements engine.Tx.
func (t *txn) PutIntroduction(i store.Introduction) error {
	return t.appendLine(`INSERT INTO introductions (company, number, line) VALUES ($1, $2, $3)
		ON CONFLICT (company, number) DO UPDATE SET line = excluded.line`, i.Company, i.Number, i)
}

// Introductions implements engine.Tx.
func (t *txn) Introductions(company string) ([]store.Introduction, error) {
	return lines[store.Introduction](t, "SELECT line FROM introductions WHERE company = $1 ORDER BY number", company)
}
