package postgres

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// ErrFormat says that the database was made by a newer program.
var ErrFormat = errors.New("database has another format")

// migration is one step of the schema; its number is the version it leads to.
type migration struct {
	version int
	name    string
	sql     string
}

// migrations returns the embedded steps in order.
func migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, name := range names {
		sql, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		number, title, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: its number should be %d", name, i+1)
		}
		all = append(all, migration{version: version, name: title, sql: string(sql)})
	}
	return all, nil
}

// migrationLock is the advisory lock that lets one relay migrate while others
// that start at the same time wait.
const migrationLock = 0x63617265657231

// migrate brings the schema up to date, each step in one transaction together
// with its number, and refuses a newer one.
func migrate(ctx context.Context, conn *pgx.Conn, steps []migration, log func(msg string, args ...any)) error {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock)) // ends with the connection at the latest
	have, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	newest := len(steps)
	if have > newest {
		return fmt.Errorf("%w: version %d is newer than this program's %d: install the newer program, or restore an older backup", ErrFormat, have, newest)
	}
	for _, m := range steps[have:] {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, m.sql); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, now())", m.version, m.name)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate to version %d (%s): %w", m.version, m.name, err)
		}
		log("database migrated", "version", m.version, "name", m.name)
	}
	return nil
}

// schemaVersion returns the version of the schema, 0 for an empty database. It
// makes the two tables that come before all others.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (version int, err error) {
	_, err = conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL)`)
	if err == nil {
		_, err = conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS meta (key text PRIMARY KEY, value text NOT NULL)`)
	}
	if err == nil {
		_, err = conn.Exec(ctx, `INSERT INTO meta (key, value) VALUES ('identity', $1) ON CONFLICT (key) DO NOTHING`, strings.ToLower(rand.Text()))
	}
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM migrations").Scan(&version)
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema's version: %w; the user must own the database or its schema", err)
	}
	return version, nil
}
