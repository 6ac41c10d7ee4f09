package configs

import (
	"path/filepath"
	"time"
)

// UsesPostgres tells whether the store is a PostgreSQL database.
func (c *Config) UsesPostgres() bool { return c.Store == postgresStore }

// store checks the database, if there is one.
func (v validation) store() {
	p := &v.c.Postgres
	p.URL.base = filepath.Dir(v.c.file)
	if !v.c.UsesPostgres() {
		if v.set("postgres") && !v.broken("store") {
			v.warn("postgres", "write store: postgres, or remove the key", "has no meaning: store is a file")
		}
		return
	}
	v.want("postgres.url", p.URL.Set(), "name a file that holds postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, or env:NAME")
	v.secret(p.URL, "postgres.url")
	if p.Pool < 1 && !v.broken("postgres.pool") {
		v.fail("postgres.pool", "10 is the default", "must be 1 or more")
	}
	if time.Duration(p.Timeout) < 100*time.Millisecond && !v.broken("postgres.timeout") {
		v.fail("postgres.timeout", "5s is the default", "must be at least 100ms")
	}
	if time.Duration(p.Timeout) > time.Duration(v.c.Timeouts.Transaction)/2 && !v.broken("postgres.timeout") {
		v.fail("postgres.timeout", "5s is the default", "must leave time for the mail: half of timeouts.transaction at most")
	}
}
