// Package postgres keeps the store in PostgreSQL, for when one machine is
// outgrown: any number of relays share one database and nothing else.
//
// # Isolation
//
// Transactions run READ COMMITTED and decide on locked rows only: a referral, a
// delivery, a company's book are read FOR UPDATE, always in that order, and
// changed or added to before the lock is let go. A second writer waits and then
// reads what the first one left; under SERIALIZABLE it would fail instead, and on
// the book of a busy company it would fail for as long as the company is busy.
// What two relays add at once meets in a unique index: one of them begins anew
// and finds the other's. Serialisation failures and deadlocks begin anew too, so
// databases that run everything SERIALIZABLE (CockroachDB) serve as well.
//
// One pair is not ordered by a lock: the very first offer to a person, and an
// opt-out of the same person (by list, without a link) at the same instant. The
// offer then counts as the earlier one.
//
// # Outage
//
// Whatever keeps a transaction from being committed becomes store.ErrUnavailable,
// within Options.Timeout: mail goes on unedited. Connections are made anew by
// themselves.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
)

// Options of a store. The zero value has sensible defaults.
type Options struct {
	store.Policy
	Logger   *slog.Logger  // discards
	Pool     int           // connections at most; 10
	Timeout  time.Duration // for one transaction, retries and waiting for a connection included; 5 s
	Lifetime time.Duration // after which a connection is replaced; 1 h
	Loading  bool          // it is opened to load a dump: one that is there in part is no error
	// Later lets Open return although the database cannot be reached. The schema is
	// brought up to date when it can; until then everything is store.ErrUnavailable.
	Later bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Pool < 1 {
		o.Pool = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Lifetime <= 0 {
		o.Lifetime = time.Hour
	}
	return o
}

// Store is a store.Full in a PostgreSQL database. Safe for concurrent use, by
// several processes too.
type Store struct {
	*engine.Engine
	db *database
}

var _ store.Full = (*Store)(nil)

// Open connects to the database of a URL (or of keywords and values, as libpq
// reads them), brings its schema up to date and returns the store in it. No error
// repeats the password.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	o = o.withDefaults()
	config, err := poolConfig(url, o)
	if err != nil {
		return nil, err
	}
	where := config.ConnConfig.Host + "/" + config.ConnConfig.Database
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config) // connects when it is asked to
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", where, err)
	}
	db := &database{pool: pool, timeout: o.Timeout, log: o.Logger, opened: time.Now()}
	s := &Store{Engine: engine.New(db, engine.Options{Policy: o.Policy}), db: db}
	db.prepare = func(ctx context.Context) error {
		last, err := prepare(ctx, config.ConnConfig, o)
		s.After(idText(last))
		return err
	}
	err = db.ensure(ctx)
	if o.Later && errors.Is(err, store.ErrUnavailable) {
		o.Logger.Warn("the database cannot be reached; mail passes unedited until it can", slog.String("database", where), slog.Any("err", err))
		return s, nil
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open store %s: %w", where, err)
	}
	return s, nil
}

// CheckURL says what is wrong with a URL, without repeating it.
func CheckURL(url string) error {
	_, err := poolConfig(url, Options{}.withDefaults())
	return err
}

func poolConfig(url string, o Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database URL cannot be read: write postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full")
	}
	config.MaxConns = int32(o.Pool)
	config.MaxConnLifetime = o.Lifetime
	config.HealthCheckPeriod = 10 * time.Second
	c := config.ConnConfig
	if c.ConnectTimeout <= 0 || c.ConnectTimeout > o.Timeout {
		c.ConnectTimeout = o.Timeout
	}
	setDefault(c.RuntimeParams, "application_name", "careerrelay")
	// A relay whose machine is gone must not keep its locks.
	setDefault(c.RuntimeParams, "idle_in_transaction_session_timeout", "60000")
	return config, nil
}

func setDefault(params map[string]string, name, value string) {
	if _, set := params[name]; !set {
		params[name] = value
	}
}

// prepare brings the schema up to date on a connection of its own, and returns
// the id of the last referral, which new ones follow.
func prepare(ctx context.Context, config *pgx.ConnConfig, o Options) (last []byte, err error) {
	steps, err := migrations()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	err = migrate(ctx, conn, steps, o.Logger.Info)
	if err == nil && !o.Loading {
		err = usable(ctx, conn)
	}
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT (SELECT id FROM referrals ORDER BY id DESC LIMIT 1)").Scan(&last)
	}
	if kind := classify(failed(err)); kind != answer {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return last, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

func usable(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return engine.Usable(&txn{ctx: ctx, tx: tx}) })
}

// failed marks what a statement returned; nil and what is no statement's stay.
func failed(err error) error {
	if err == nil || errors.Is(err, ErrFormat) || errors.Is(err, store.ErrUnfinished) {
		return err
	}
	return failedStatement{err}
}

// Ping implements store.Store with a real commit: a full disk, or a server that
// became a read-only standby, shows nowhere else.
func (s *Store) Ping(ctx context.Context) error {
	err := s.db.Write(ctx, func(t engine.Tx) error {
		return t.(*txn).exec(`INSERT INTO meta (key, value) VALUES ('ping', now()::text) ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
	})
	if err != nil {
		return fmt.Errorf("ping store: %w", err)
	}
	return nil
}

// Close waits for what runs and closes all connections. Closing twice is no error.
func (s *Store) Close() error {
	s.db.pool.Close()
	return nil
}

// database runs transactions; it is the engine.DB.
type database struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	log     *slog.Logger
	opened  time.Time // base of retryAt, monotonic

	preparing sync.Mutex                  // guards prepare
	prepare   func(context.Context) error // brings the schema up to date; nil once that is done
	prepared  atomic.Bool                 // that it is done

	retryAt atomic.Int64 // nanoseconds after opened before which no transaction is tried; 0: none
}

// maxTries bounds how often one transaction begins anew.
const maxTries = 20

// ensure brings the schema up to date before the first transaction.
func (d *database) ensure(ctx context.Context) error {
	if d.prepared.Load() {
		return nil
	}
	d.preparing.Lock()
	defer d.preparing.Unlock()
	if d.prepare == nil {
		return nil
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	d.prepare = nil
	d.prepared.Store(true)
	return nil
}

// Read implements engine.DB. Its context alone bounds it: an audit is long.
func (d *database) Read(ctx context.Context, do func(engine.Tx) error) error {
	return d.retry(ctx, ctx, func(ctx context.Context) error {
		return d.attempt(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
	})
}

// Write implements engine.DB.
func (d *database) Write(ctx context.Context, do func(engine.Tx) error) error {
	bounded, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.retry(ctx, bounded, func(ctx context.Context) error {
		return d.attempt(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, do)
	})
}

// retry tries until bounded ends or the error is final. caller is the context
// whose end is the caller's own.
func (d *database) retry(caller, bounded context.Context, try func(context.Context) error) error {
	for n := 1; ; n++ {
		if err := caller.Err(); err != nil {
			return err
		}
		if err := d.ready(); err != nil {
			return err
		}
		begun := time.Now()
		err := try(bounded)
		if err == nil {
			d.retryAt.Store(0)
			return nil
		}
		kind := classify(err)
		if kind == stale {
			d.pool.Reset() // the others are as dead
		}
		if n < tries(kind) && pause(bounded, n, kind) {
			continue
		}
		if caller.Err() == nil && unreachable(kind, err) {
			d.outage(begun)
		}
		return d.verdict(caller, kind, err)
	}
}

// ready says why no transaction may start.
func (d *database) ready() error {
	if at := d.retryAt.Load(); at != 0 && time.Since(d.opened).Nanoseconds() < at {
		return fmt.Errorf("%w: waiting after the database could not be reached", store.ErrUnavailable)
	}
	return nil
}

// outage refuses the next attempts for ten times as long as this one took (at most
// five seconds): a database behind a dead line must not cost every message the
// time to find that out.
func (d *database) outage(begun time.Time) {
	wait := min(10*time.Since(begun), 5*time.Second)
	d.retryAt.Store(time.Since(d.opened).Nanoseconds() + wait.Nanoseconds())
}

// verdict is what the caller gets to know of a final error.
func (d *database) verdict(caller context.Context, kind class, err error) error {
	switch {
	case kind == answer:
		return err
	case caller.Err() != nil:
		return caller.Err()
	case kind == refused:
		return fmt.Errorf("database refused a value (SQLSTATE %s)", stateOf(err)) // its text may quote the value
	case errors.Is(err, store.ErrUnavailable):
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// attempt runs do in one transaction. Of a transaction with a failed statement
// the statement's error counts, whatever do made of it.
func (d *database) attempt(ctx context.Context, o pgx.TxOptions, do func(engine.Tx) error) (err error) {
	if err := d.ensure(ctx); err != nil {
		return notBegun{err}
	}
	tx, err := d.pool.BeginTx(ctx, o)
	if err != nil {
		return notBegun{err}
	}
	t := &txn{ctx: ctx, tx: tx, locks: o.AccessMode != pgx.ReadOnly}
	defer func() {
		if err != nil {
			tx.Rollback(context.WithoutCancel(ctx)) // the connection is dropped if that fails
		}
	}()
	if err := do(t); err != nil || t.failed != nil {
		return cmp.Or(t.failed, err)
	}
	// The caller's end must not make it uncertain whether this happened.
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	if err := tx.Commit(commit); err != nil {
		return notKnown{err}
	}
	return nil
}

// notBegun is an error before the first statement.
type notBegun struct{ error }

func (e notBegun) Unwrap() error { return e.error }

// notKnown is an error of a commit: unless the database says otherwise, it may
// have happened.
type notKnown struct{ error }

func (e notKnown) Unwrap() error { return e.error }

// stateOf is the SQLSTATE of an error, "" when the server did not send one.
func stateOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
