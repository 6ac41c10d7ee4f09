//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/careerrelay/careerrelay/store/engine"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
)

// beside copies a configuration under another name, with a store of its own.
func beside(t *testing.T, file, storeLine string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	const was = "store: bbolt:data/careerrelay.db"
	if !strings.Contains(string(text), was) {
		t.Fatal("the sample names another store")
	}
	other := filepath.Join(filepath.Dir(file), "other.yaml")
	must(t, os.WriteFile(other, []byte(strings.Replace(string(text), was, storeLine, 1)), 0o600))
	return other
}

// urlFile holds the address of a database, as an administrator would keep it.
func urlFile(t *testing.T, url string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "url")
	must(t, os.WriteFile(path, []byte(url+"\n"), 0o600))
	return path
}

// TestBackupRestore: a backup taken while the relay runs is whole; it fills an
// empty store, and nothing else.
func TestBackupRestore(t *testing.T) {
	s := startServer(t)
	fillStore(t, s.store, s.keys, s.sealer, 0, 11)
	file := s.config.File()
	to := filepath.Join(t.TempDir(), "backup.gz")
	wantText(t, wantRun(t, 0, "", "backup", "--config", file, to).stdout, "verified", "Keep the key files elsewhere")
	info, err := os.Stat(to)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	wantText(t, wantRun(t, 1, "", "backup", "--config", file, to).stderr, "file exists")
	wantText(t, wantRun(t, 0, "", "journal", "--config", file).stdout, "backup")
	wantText(t, wantRun(t, 0, "", "audit", "--file", to).stdout, "11 counted, 1 earned", "11 referrals checked", "Nothing is wrong")

	other := beside(t, file, "store: bbolt:data/restored.db")
	wantText(t, wantRun(t, 0, "", "restore", "--config", other, to).stdout, "11 counted, 1 earned", "Nothing is wrong")
	wantText(t, wantRun(t, 1, "", "restore", "--config", other, to).stderr, "nothing is overwritten", "name an empty store")
	wantText(t, wantRun(t, 1, "", "restore", "--config", file, to).stderr, "held by another process", "stop the relay first")

	whole, err := os.ReadFile(to)
	must(t, err)
	for name, bad := range map[string][]byte{"torn": whole[:len(whole)/2], "no backup": []byte("hello there")} {
		path := filepath.Join(t.TempDir(), "bad.gz")
		must(t, os.WriteFile(path, bad, 0o600))
		empty := beside(t, file, "store: bbolt:data/empty.db")
		if got := wantRun(t, 1, "", "restore", "--config", empty, path); !strings.Contains(got.stderr, "damaged") && !strings.Contains(got.stderr, "no backup") {
			t.Errorf("%s: %s", name, got.stderr)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), "data", "empty.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was written: %v", name, err)
		}
	}
}

// TestMigrateStore: from bbolt to PostgreSQL and back, with a command that is
// killed in the middle.
func TestMigrateStore(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	const people = 360 // more than one transaction loads
	file := filled(t, people)
	wantRun(t, 0, "", "redeem", "sample", "--config", file)
	old := "bbolt:" + filepath.Join(filepath.Dir(file), "data", "careerrelay.db")
	url := cluster.NewURL(t)
	name := "postgres:" + urlFile(t, url)
	stopInTheMiddle(t, cluster, url, "migrate-store", old, name)
	if _, err := postgres.Open(t.Context(), url, postgres.Options{}); err == nil || !strings.Contains(err.Error(), "in part only") {
		t.Errorf("a store that is there in part was opened: %v", err)
	}
	wantText(t, wantRun(t, 0, "", "migrate-store", old, name).stdout, "sample: 360 counted, 36 earned", "Both stores are the same")
	wantText(t, wantRun(t, 1, "", "migrate-store", old, name).stderr, "nothing is overwritten")

	shared := beside(t, file, "store: postgres\npostgres: {url: "+strings.TrimPrefix(name, "postgres:")+"}")
	wantText(t, wantRun(t, 0, "", "check", shared).stdout, "ok")
	wantText(t, wantRun(t, 0, "", "audit", "--config", shared).stdout, "360 referrals checked", "Nothing is wrong")
	to := filepath.Join(t.TempDir(), "backup.gz")
	wantText(t, wantRun(t, 0, "", "backup", "--config", shared, to).stdout, "verified")
	back := "bbolt:" + filepath.Join(t.TempDir(), "back.db")
	wantText(t, wantRun(t, 0, "", "migrate-store", name, back).stdout, "sample: 360 counted, 36 earned", "Both stores are the same")
	wantText(t, wantRun(t, 1, "", "migrate-store", "mysql:x", back).stderr, "write bbolt:FILE")
}

// stopInTheMiddle lets the built binary begin to load a database, and kills it
// when a part of it is there and the rest has to wait.
func stopInTheMiddle(t *testing.T, cluster *postgrestest.Cluster, url string, args ...string) {
	t.Helper()
	path, err := binary()
	must(t, err)
	s, err := postgres.Open(t.Context(), url, postgres.Options{}) // makes the tables
	must(t, err)
	must(t, s.Close())
	release := cluster.Lock(t, url, "introductions")
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	await(t, "a part to be there", func() bool { return loadedItems(t, url) > 0 })
	must(t, cmd.Process.Kill())
	cmd.Wait() // says that it was killed
	release()
	if n := loadedItems(t, url); n == 0 {
		t.Fatalf("it was not killed in the middle:\n%s", &out)
	}
}

// loadedItems is how much of a dump is in a database whose loading is unfinished.
func loadedItems(t *testing.T, url string) int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	var content string
	err = conn.QueryRow(t.Context(), "SELECT value FROM meta WHERE key = 'import'").Scan(&content)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0
	}
	must(t, err)
	var p engine.Progress
	must(t, json.Unmarshal([]byte(content), &p))
	return p.Items
}
