//go:build unix

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
	"github.com/careerrelay/careerrelay/store/storetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func offer(t *testing.T, i int) store.Offer {
	t.Helper()
	keys, err := store.NewKeys([]byte("a secret that relays share......"))
	must(t, err)
	message, address := fmt.Sprintf("<%d@ats.example>", i), fmt.Sprintf("c%d@example.org", i)
	return store.Offer{Key: keys.Key("c", message, address), Token: keys.Token("c", message, address), Company: "c",
		Person: keys.Person("c", address), Kind: store.KindRejection, Rule: "ja.oinori", Language: "ja"}
}

// relays are three stores on one database, as three relays have them.
func relays(t *testing.T, url string, o postgres.Options) []*postgres.Store {
	t.Helper()
	var all []*postgres.Store
	for range 3 {
		s := open(t, url, o)
		t.Cleanup(func() { s.Close() })
		all = append(all, s)
	}
	return all
}

// TestSeveralRelays: whatever three relays do to the same people at once, each
// counts once, and the chains hold.
func TestSeveralRelays(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	all := relays(t, cluster.NewURL(t), postgres.Options{Policy: store.Policy{Outbox: true}, Timeout: 30 * time.Second})
	const people = 30
	var mu sync.Mutex
	ids := map[int][]string{}
	var wg sync.WaitGroup
	for i := range people {
		for _, s := range all {
			wg.Go(func() {
				o := offer(t, i)
				r, err := s.Offer(t.Context(), o)
				if err != nil {
					t.Errorf("offer: %v", err)
					return
				}
				mu.Lock()
				ids[i] = append(ids[i], r.ID)
				mu.Unlock()
				_, err = s.OptIn(t.Context(), o.Token, store.Consent{TextID: "t"})
				if err := errors.Join(err, s.Confirm(t.Context(), o.Token), s.View(t.Context(), o.Token, false)); err != nil {
					t.Errorf("use: %v", err)
				}
			})
		}
	}
	wg.Wait()
	for i := range people {
		if len(slices.Compact(ids[i])) != 1 {
			t.Errorf("person %d has the referrals %v", i, ids[i])
		}
	}
	rows, err := all[0].Report(t.Context(), "c")
	must(t, err)
	if got := rows[0]; got.Sent != people || got.OptedIn != people || got.OpenedHuman != people || got.Earned != people/10 {
		t.Errorf("report: %+v", got)
	}
	rep, err := all[1].Audit(t.Context())
	must(t, err)
	if !rep.OK() || rep.Referrals != people {
		t.Errorf("audit: %+v", rep)
	}
	claimOnce(t, all, people)
}

// claimOnce lets three senders empty the outbox: no delivery goes to two of them.
func claimOnce(t *testing.T, all []*postgres.Store, want int) {
	t.Helper()
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() {
			for {
				mu.Lock()
				enough := len(seen) == want
				mu.Unlock()
				due, err := s.Claim(t.Context(), 4, time.Hour)
				if err != nil || enough {
					if err != nil {
						t.Errorf("claim: %v", err)
					}
					return
				}
				for _, d := range due {
					mu.Lock()
					if seen[d.ID] {
						t.Errorf("delivery %d was claimed twice", d.ID)
					}
					seen[d.ID] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

// TestOutage: without the database every call says so soon and in the right
// words; when it is back, so is the store. What was acknowledged is there.
func TestOutage(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{Durable: true})
	s := open(t, cluster.NewURL(t), postgres.Options{Timeout: 2 * time.Second})
	defer s.Close()
	first, err := s.Offer(t.Context(), offer(t, 1))
	must(t, err)
	cluster.Kill(t)
	for i := range 20 {
		begun := time.Now()
		_, err := s.Offer(t.Context(), offer(t, 2+i))
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("offer without a database: %v", err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v to find out", took)
		}
	}
	if _, err := s.Lookup(t.Context(), offer(t, 1).Token); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("look up: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	cluster.Start(t)
	awaitPing(t, s)
	again, err := s.Offer(t.Context(), offer(t, 1))
	if err != nil || again.ID != first.ID {
		t.Errorf("after the restart: %v, %v; before %v", again, err, first)
	}
}

// awaitPing waits until the store can commit: it asks again, as readiness does.
func awaitPing(t *testing.T, s *postgres.Store) {
	t.Helper()
	limit := time.Now().Add(postgrestest.Patience)
	for s.Ping(t.Context()) != nil {
		if time.Now().After(limit) {
			t.Fatalf("still: %v", s.Ping(t.Context()))
		}
		<-time.After(20 * time.Millisecond) // a database gives no other signal
	}
}

// TestRestartBetweenCalls: connections that died while nobody used them cost
// nothing.
func TestRestartBetweenCalls(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	s := open(t, cluster.NewURL(t), postgres.Options{})
	defer s.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { s.Offer(t.Context(), offer(t, i)) })
	}
	wg.Wait()
	cluster.Stop(t)
	cluster.Start(t)
	for i := range 8 {
		wg.Go(func() {
			if _, err := s.Offer(t.Context(), offer(t, 100+i)); err != nil {
				t.Errorf("offer after a restart: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestOpenLater: a relay that starts without its database takes it into use when
// it comes.
func TestOpenLater(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	url := cluster.NewURL(t)
	cluster.Stop(t)
	if _, err := postgres.Open(t.Context(), url, postgres.Options{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("open: %v", err)
	}
	s := open(t, url, postgres.Options{Later: true})
	defer s.Close()
	if _, err := s.Offer(t.Context(), offer(t, 1)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("offer: %v", err)
	}
	cluster.Start(t)
	awaitPing(t, s)
	_, err := s.Offer(t.Context(), offer(t, 1))
	must(t, err)
}

// TestDeadline: a caller's deadline holds while the database is busy, and what
// was not committed did not happen.
func TestDeadline(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	url := cluster.NewURL(t)
	a, b := open(t, url, postgres.Options{}), open(t, url, postgres.Options{Timeout: 300 * time.Millisecond})
	defer a.Close()
	defer b.Close()
	_, err := a.Offer(t.Context(), offer(t, 1))
	must(t, err)
	release := cluster.Lock(t, url, "referrals")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.Confirm(ctx, offer(t, 1).Token); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("caller's deadline: %v", err)
	}
	if err := b.Confirm(t.Context(), offer(t, 1).Token); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the store's own: %v", err)
	}
	release()
	r, err := a.Lookup(t.Context(), offer(t, 1).Token)
	if err != nil || r.State != store.Offered {
		t.Errorf("afterwards: %v, %v", r, err)
	}
}

func TestRefusesNewerSchema(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	url := cluster.NewURL(t)
	must(t, open(t, url, postgres.Options{}).Close())
	cluster.Exec(t, "INSERT INTO s1.migrations VALUES (999, 'future', now())")
	_, err := postgres.Open(t.Context(), url, postgres.Options{Later: true})
	if !errors.Is(err, postgres.ErrFormat) || !strings.Contains(err.Error(), "install the newer program") {
		t.Errorf("open: %v", err)
	}
}

// TestMoves: from bbolt to PostgreSQL and back nothing changes.
func TestMoves(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	policy := store.Policy{Outbox: true, Now: func() time.Time { return time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC) }}
	file := func() store.Full {
		s, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{Policy: policy})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	first, last := file(), file()
	between := open(t, cluster.NewURL(t), postgres.Options{Policy: policy})
	defer between.Close()
	storetest.Fill(t, first, 12)
	var dumps []string
	for i, s := range []store.Full{first, between, last} {
		if i > 0 {
			must(t, s.Load(t.Context(), strings.NewReader(dumps[i-1])))
		}
		var b bytes.Buffer
		must(t, s.Dump(t.Context(), &b))
		dumps = append(dumps, b.String())
		if dumps[i] != dumps[0] {
			t.Errorf("step %d has another dump", i)
		}
	}
}

func TestURLs(t *testing.T) {
	for name, url := range map[string]string{
		"no URL":   "postgres://relay:topsecret@[bad",
		"bad port": "postgres://relay:topsecret@db:x/relay",
	} {
		if err := postgres.CheckURL(url); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := postgres.CheckURL("postgres://relay:topsecret@db:5432/relay?sslmode=verify-full"); err != nil {
		t.Error(err)
	}
	_, err := postgres.Open(t.Context(), "postgres://relay:topsecret@127.0.0.1:1/relay?sslmode=disable", postgres.Options{})
	if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("open: %v", err)
	}
}
