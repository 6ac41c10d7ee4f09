//go:build unix

// Package postgrestest runs a private PostgreSQL for tests: its own data folder,
// reached by a socket only, gone with the test.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options make a cluster.
type Options struct {
	Durable  bool     // commits reach the disk, as in service
	Settings []string // further settings of the server: "max_connections=50"
}

// Cluster is a private PostgreSQL server.
type Cluster struct {
	dir     string // of data and socket
	bin     string // of the programs
	options Options
	owner   *syscall.SysProcAttr // the server refuses to run as root
	server  *exec.Cmd            // nil while stopped
	log     bytes.Buffer
	schemas atomic.Int64
}

// Patience is how long the server may take to start and to stop.
const Patience = 30 * time.Second

// Start makes a cluster and starts its server. Without PostgreSQL the test is
// skipped; where CI=true it fails.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{bin: programs(t), options: o}
	c.makeFolder(t)
	out, err := c.command("initdb", "--pgdata", c.data(), "--username", "careerrelay", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync").CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() { c.Stop(t) })
	c.Start(t)
	return c
}

// programs is the folder of initdb and postgres: Debian keeps them out of PATH.
func programs(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		missing(t, "PostgreSQL is not installed")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and CI=true wants it", reason)
	}
	t.Skip(reason)
}

// makeFolder makes a folder with a short name, since the name of a socket is
// limited to about 100 bytes, and gives it to the server's user.
func (c *Cluster) makeFolder(t testing.TB) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.dir = dir
	if os.Geteuid() != 0 {
		return
	}
	uid, gid := serverUser(t)
	c.owner = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	if err := errors.Join(os.Chown(dir, int(uid), int(gid)), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
}

func serverUser(t testing.TB) (uid, gid uint32) {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		id, err1 := strconv.ParseUint(u.Uid, 10, 32)
		group, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return uint32(id), uint32(group)
		}
	}
	missing(t, "there is no user that PostgreSQL could run as")
	return 0, 0
}

// Folder holds everything that the server wrote.
func (c *Cluster) Folder() string { return c.data() }

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.owner
	return cmd
}

// URL leads to the cluster's database; schema is where its tables are.
func (c *Cluster) URL(schema string) string {
	url := fmt.Sprintf("host=%s user=careerrelay dbname=postgres", c.dir)
	if schema != "" {
		url += " search_path=" + schema
	}
	return url
}

// NewURL leads to an empty schema of its own.
func (c *Cluster) NewURL(t testing.TB) string {
	t.Helper()
	schema := fmt.Sprintf("s%d", c.schemas.Add(1))
	c.Exec(t, "CREATE SCHEMA "+schema)
	return c.URL(schema)
}

// Program runs one of PostgreSQL's own programs and returns what it prints.
func (c *Cluster) Program(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := c.command(name, args...)
	cmd.Env = append(os.Environ(), "PGHOST="+c.dir, "PGUSER=careerrelay", "PGDATABASE=postgres")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// Exec runs SQL.
func (c *Cluster) Exec(t testing.TB, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(ctx, sql)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Lock keeps everybody else from a table until release is called.
func (c *Cluster) Lock(t testing.TB, url, table string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// Start starts the server again after Stop or Kill, and waits until it answers.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	args := []string{"-D", c.data(), "-k", c.dir, "-c", "listen_addresses=", "-c", "max_connections=200"}
	settings := c.options.Settings
	if !c.options.Durable {
		settings = append([]string{"fsync=off", "synchronous_commit=off", "full_page_writes=off"}, settings...)
	}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	c.server = c.command("postgres", args...)
	c.server.Stderr = &c.log
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(Patience)
	for !c.answers() {
		if time.Now().After(limit) {
			c.Stop(t)
			t.Fatalf("PostgreSQL did not start:\n%s", c.log.String())
		}
		<-time.After(20 * time.Millisecond) // a server gives no other signal
	}
}

func (c *Cluster) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL(""))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// Stop ends the server at once, as a restart for maintenance does: what runs is
// rolled back. Stopping twice is no error.
func (c *Cluster) Stop(t testing.TB) { c.end(t, syscall.SIGINT) }

// Kill ends it as a crash of its machine does; the next start recovers.
func (c *Cluster) Kill(t testing.TB) { c.end(t, syscall.SIGQUIT) }

func (c *Cluster) end(t testing.TB, how syscall.Signal) {
	t.Helper()
	if c.server == nil {
		return
	}
	done := make(chan error, 1)
	server := c.server
	c.server = nil
	go func() { done <- server.Wait() }()
	if err := server.Process.Signal(how); err != nil {
		t.Error(err)
	}
	select {
	case <-done: // its exit code says how it was ended
	case <-time.After(Patience):
		server.Process.Kill()
		<-done
		t.Errorf("PostgreSQL did not stop:\n%s", c.log.String())
	}
}
