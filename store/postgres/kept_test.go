//go:build unix

package postgres_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
	"github.com/careerrelay/careerrelay/store/storetest"
)

var update = flag.Bool("update", false, "keep a database of the current schema")

// version is that of the current schema: the number of files in migrations.
func version(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	return len(files)
}

func keptPath(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("schema-%d.sql.gz", version))
}

// keptPolicy lets the kept databases be used soon after they were filled.
var keptPolicy = store.Policy{Outbox: true, Now: func() time.Time { return time.Date(2026, 4, 1, 2, 0, 0, 0, time.UTC) }}

// TestKeptSchemas opens a database of every schema that was ever released. Each is
// kept once, when it is new, and never made again.
func TestKeptSchemas(t *testing.T) {
	if *update {
		keep(t)
	}
	for v := 1; v <= version(t); v++ {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			cluster := postgrestest.Start(t, postgrestest.Options{})
			cluster.Exec(t, gunzip(t, keptPath(v)))
			s := open(t, cluster.URL("kept"), postgres.Options{Policy: keptPolicy})
			defer s.Close()
			checkKept(t, s)
		})
	}
}

// keep fills a database and keeps what pg_dump says of it.
func keep(t *testing.T) {
	t.Helper()
	cluster := postgrestest.Start(t, postgrestest.Options{})
	cluster.Exec(t, "CREATE SCHEMA kept")
	s := open(t, cluster.URL("kept"), postgres.Options{Policy: keptPolicy})
	storetest.Fill(t, s, 12)
	must(t, s.Close())
	sql := cluster.Program(t, "pg_dump", "--schema", "kept", "--inserts", "--no-owner", "--no-privileges")
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plainSQL(sql))
	must(t, errors.Join(err, w.Close(), os.WriteFile(keptPath(version(t)), b.Bytes(), 0o644)))
}

// plainSQL leaves out what only psql understands.
func plainSQL(dump []byte) []byte {
	var lines []string
	for line := range strings.Lines(string(dump)) {
		if !strings.HasPrefix(line, `\`) {
			lines = append(lines, line)
		}
	}
	return []byte(strings.Join(lines, ""))
}

func gunzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	return string(b)
}

// checkKept finds in a kept database what storetest.Fill put there, and uses it.
func checkKept(t *testing.T, s *postgres.Store) {
	t.Helper()
	rep, err := s.Audit(t.Context())
	must(t, err)
	if !rep.OK() || rep.Referrals != 18 || rep.Journal.Lines != 3 || len(rep.Companies) != 2 {
		t.Errorf("audit: %+v", rep)
	}
	rows, err := s.Report(t.Context(), "c")
	must(t, err)
	want := store.Counts{Company: "c", Traffic: store.Traffic{Seen: 100, Matched: 16, Near: 2, Inserted: 16}, Sent: 12, OpenedHuman: 6,
		OpenedMachine: 6, OptedIn: 12, OptedOut: 1, Withdrawn: 1, HandedOver: 1, Credits: store.Credits{Counted: 10, Earned: 1, Redeemed: 1}}
	if rows[0] != want {
		t.Errorf("report: got %+v, want %+v", rows[0], want)
	}
	if list, err := s.Deliveries(t.Context()); err != nil || len(list) != 11 {
		t.Errorf("outbox: %d, %v", len(list), err)
	}
	page, err := s.Referrals(t.Context(), store.Query{State: store.OptedIn})
	if err != nil || len(page) != 10 || string(page[0].Consent.Profile) != "\x00\x01\x02\xff" {
		t.Errorf("referrals: %d, %v", len(page), err)
	}
	must(t, s.Dump(t.Context(), io.Discard))
	o := offer(t, 1000)
	_, err = s.Offer(t.Context(), o)
	must(t, err)
	if r, err := s.OptIn(t.Context(), o.Token, store.Consent{TextID: "t"}); err != nil || !r.Counted {
		t.Errorf("the database takes nothing new: %v", err)
	}
}
