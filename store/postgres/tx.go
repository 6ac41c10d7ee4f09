package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
)

// txn is one transaction; it is the engine.Tx. It lives no longer than the call
// whose context it holds.
type txn struct {
	ctx    context.Context
	tx     pgx.Tx
	locks  bool  // what is read to be changed is locked
	failed error // the first statement that failed; the transaction is lost then
}

// failedStatement is an error of a statement, the server's or the line's.
type failedStatement struct{ error }

func (f failedStatement) Unwrap() error { return f.error }

// fail keeps the error of a statement.
func (t *txn) fail(err error) error {
	if err == nil {
		return nil
	}
	if t.failed == nil {
		t.failed = failedStatement{err}
	}
	return t.failed
}

func (t *txn) exec(sql string, args ...any) error {
	_, err := t.count(sql, args...)
	return err
}

// count runs a statement and returns how many rows it touched.
func (t *txn) count(sql string, args ...any) (int64, error) {
	if t.failed != nil {
		return 0, t.failed
	}
	tag, err := t.tx.Exec(t.ctx, sql, args...)
	return tag.RowsAffected(), t.fail(err)
}

// one reads the only row of a query; store.ErrNotFound when there is none.
func (t *txn) one(sql string, args []any, to ...any) error {
	if t.failed != nil {
		return t.failed
	}
	err := t.tx.QueryRow(t.ctx, sql, args...).Scan(to...)
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	return t.fail(err)
}

// list reads all rows of a query.
func list[T any](t *txn, read func(pgx.CollectableRow) (T, error), sql string, args ...any) ([]T, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	rows, err := t.tx.Query(t.ctx, sql, args...)
	if err != nil {
		return nil, t.fail(err)
	}
	all, err := pgx.CollectRows(rows, read)
	return all, t.fail(err)
}

// locking is a query with what locks its rows.
func (t *txn) locking(sql string) string {
	if t.locks {
		return sql + " FOR UPDATE"
	}
	return sql
}

// lines reads JSON values.
func lines[T any](t *txn, sql string, args ...any) ([]T, error) {
	return list(t, func(row pgx.CollectableRow) (x T, err error) {
		var b []byte
		if err := row.Scan(&b); err != nil {
			return x, err
		}
		return x, json.Unmarshal(b, &x)
	}, sql, args...)
}

// text is v as JSON.
func text(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode record: %w", err)
	}
	return string(b), nil
}

// idBytes is a referral's id as it is kept, nil for what is no id.
func idBytes(id string) []byte {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != store.IDLen {
		return nil
	}
	return b
}

func idText(id []byte) string { return hex.EncodeToString(id) }

// instant is a time as it is kept: NULL for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// timeOf is the time that was kept.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return store.Clock(*t)
}

const rowColumns = `id, company, test, person, kind, rule, language, stage, state, counted, opted_out, offered_at, sent_at,
	opted_in_at, withdrawn_at, handed_over_at, agency, agency_at, human, machine, entry, links, consent`

func readRow(row pgx.CollectableRow) (*engine.Row, error) { return scanRow(row.Scan) }

func scanRow(scan func(...any) error) (*engine.Row, error) {
	var (
		r                                         engine.Row
		id, links, consent                        []byte
		person                                    *store.PersonHash
		offered, sent, in, withdrawn, given, told *time.Time
	)
	err := scan(&id, &r.Company, &r.Test, &person, &r.Kind, &r.Rule, &r.Language, &r.Stage, &r.State, &r.Counted, &r.OptedOut, &offered, &sent,
		&in, &withdrawn, &given, &r.Agency, &told, &r.Human, &r.Machine, &r.Entry, &links, &consent)
	if err != nil {
		return nil, err
	}
	r.ID = idText(id)
	if person != nil {
		r.Person = *person
	}
	r.OfferedAt, r.SentAt, r.OptedInAt = timeOf(offered), timeOf(sent), timeOf(in)
	r.WithdrawnAt, r.HandedOverAt, r.AgencyAt = timeOf(withdrawn), timeOf(given), timeOf(told)
	if r.Consent, err = engine.DecodeConsent(consent); err != nil {
		return nil, err
	}
	return &r, json.Unmarshal(links, &r.Links)
}

// Row implements engine.Tx.
func (t *txn) Row(id string) (*engine.Row, error) {
	key := idBytes(id)
	if key == nil {
		return nil, store.ErrNotFound
	}
	return t.row("id = $1", key)
}

func (t *txn) row(where string, args ...any) (*engine.Row, error) {
	return scanRow(func(to ...any) error {
		return t.one(t.locking("SELECT "+rowColumns+" FROM referrals WHERE "+where), args, to...)
	})
}

// PutRow implements engine.Tx.
func (t *txn) PutRow(r *engine.Row) error {
	links, err := text(r.Links)
	if err != nil {
		return err
	}
	consent, err := engine.EncodeConsent(r.Consent)
	if err != nil {
		return err
	}
	var person *store.PersonHash
	if r.Person != "" {
		person = &r.Person
	}
	return t.exec(`INSERT INTO referrals (`+rowColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
		ON CONFLICT (id) DO UPDATE SET person = $4, kind = $5, rule = $6, language = $7, stage = $8, state = $9, counted = $10, opted_out = $11,
			offered_at = $12, sent_at = $13, opted_in_at = $14, withdrawn_at = $15, handed_over_at = $16, agency = $17,
			agency_at = $18, human = $19, machine = $20, entry = $21, links = $22, consent = $23`,
		idBytes(r.ID), r.Company, r.Test, person, r.Kind, r.Rule, r.Language, r.Stage, string(r.State), r.Counted, r.OptedOut, r.OfferedAt, instant(r.SentAt),
		instant(r.OptedInAt), instant(r.WithdrawnAt), instant(r.HandedOverAt), string(r.Agency), instant(r.AgencyAt), r.Human, r.Machine, r.Entry, links, optional(consent))
}

// optional is a JSON value that may be NULL.
func optional(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

// DeleteRow implements engine.Tx.
func (t *txn) DeleteRow(id string) error {
	return t.exec("DELETE FROM referrals WHERE id = $1", idBytes(id))
}

// Rows implements engine.Tx. The columns that an index or a short reading can
// filter are filtered here.
func (t *txn) Rows(q store.Query, limit int) ([]*engine.Row, error) {
	after, err := hex.DecodeString(q.After)
	if err != nil {
		return nil, store.ErrNotFound
	}
	return list(t, readRow, "SELECT "+rowColumns+` FROM referrals
		WHERE id > $1 AND ($2 = '' OR company = $2) AND ($3 = '' OR state = $3) ORDER BY id LIMIT $4`, after, q.Company, string(q.State), limit)
}

// IDs implements engine.Tx.
func (t *txn) IDs(after string, limit int) ([]string, error) {
	from, err := hex.DecodeString(after)
	if err != nil {
		return nil, store.ErrNotFound
	}
	return list(t, func(row pgx.CollectableRow) (string, error) {
		var id []byte
		err := row.Scan(&id)
		return idText(id), err
	}, "SELECT id FROM referrals WHERE id > $1 ORDER BY id LIMIT $2", from, limit)
}

// Link implements engine.Tx.
func (t *txn) Link(hash []byte) (string, error) {
	return t.idOf("SELECT referral FROM links WHERE hash = $1", hash)
}

// idOf reads an id; "" when there is none.
func (t *txn) idOf(sql string, args ...any) (string, error) {
	var id []byte
	err := t.one(sql, args, &id)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return idText(id), err
}

// AddLink implements engine.Tx.
func (t *txn) AddLink(hash []byte, id string) (string, error) {
	return t.idOf(`INSERT INTO links (hash, referral) VALUES ($1, $2)
		ON CONFLICT (hash) DO UPDATE SET referral = links.referral RETURNING referral`, hash, idBytes(id))
}

// DeleteLink implements engine.Tx.
func (t *txn) DeleteLink(hash []byte) error { return t.exec("DELETE FROM links WHERE hash = $1", hash) }

// Person implements engine.Tx. The referral itself says whose it is; only what is
// left of erased ones is kept apart.
func (t *txn) Person(k engine.PersonKey) (engine.Person, error) {
	var p engine.Person
	r, err := t.row("company = $1 AND test = $2 AND person = $3", k.Company, k.Test, string(k.Person))
	switch {
	case err == nil:
		p.ID = r.ID
	case !errors.Is(err, store.ErrNotFound):
		return p, err
	}
	if k.Test {
		return p, nil
	}
	err = t.one("SELECT counted FROM erased WHERE company = $1 AND person = $2", []any{k.Company, string(k.Person)}, &p.Counted)
	if errors.Is(err, store.ErrNotFound) {
		return p, nil
	}
	p.Erased = p.ID == ""
	return p, err
}

// PutPerson implements engine.Tx.
func (t *txn) PutPerson(k engine.PersonKey, p engine.Person) error {
	if !p.Erased && !p.Counted {
		return nil
	}
	return t.exec(`INSERT INTO erased (company, person, counted) VALUES ($1, $2, $3)
		ON CONFLICT (company, person) DO UPDATE SET counted = excluded.counted`, k.Company, string(k.Person), p.Counted)
}

// DeletePerson implements engine.Tx.
func (t *txn) DeletePerson(k engine.PersonKey) error {
	if k.Test {
		return nil
	}
	return t.exec("DELETE FROM erased WHERE company = $1 AND person = $2", k.Company, string(k.Person))
}

// Suppressed implements engine.Tx.
func (t *txn) Suppressed(company string, p store.PersonHash) (out bool, err error) {
	err = t.one("SELECT EXISTS (SELECT 1 FROM suppressed WHERE company = $1 AND person = $2)", []any{company, string(p)}, &out)
	return out, err
}

// PutSuppressed implements engine.Tx.
func (t *txn) PutSuppressed(company string, p store.PersonHash, at time.Time) error {
	return t.exec("INSERT INTO suppressed (company, person, at) VALUES ($1, $2, $3) ON CONFLICT (company, person) DO NOTHING", company, string(p), at)
}

// DeleteSuppressed implements engine.Tx.
func (t *txn) DeleteSuppressed(company string, p store.PersonHash) error {
	return t.exec("DELETE FROM suppressed WHERE company = $1 AND person = $2", company, string(p))
}

// Candidate implements engine.Tx.
func (t *txn) Candidate(p store.PersonHash) (string, error) {
	return t.idOf(t.locking("SELECT referral FROM candidates WHERE candidate = $1"), string(p))
}

// PutCandidate implements engine.Tx. Two companies that opt one person in at
// once meet in the key: one begins anew, and finds the other's.
func (t *txn) PutCandidate(p store.PersonHash, id string) error {
	have, err := t.Candidate(p)
	if err != nil || have == id {
		return err
	}
	return t.exec("INSERT INTO candidates (candidate, referral) VALUES ($1, $2)", string(p), idBytes(id))
}

// DeleteCandidate implements engine.Tx.
func (t *txn) DeleteCandidate(p store.PersonHash) error {
	return t.exec("DELETE FROM candidates WHERE candidate = $1", string(p))
}
