package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

func openTest(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func dbPath(t *testing.T) string { return filepath.Join(t.TempDir(), "store.db") }

// stall holds the writer inside a transaction until the returned function is
// called, so that what comes meanwhile is committed as one group.
func stall(t *testing.T, s *Store) (release func()) {
	t.Helper()
	entered, gate := make(chan struct{}), make(chan struct{})
	finished := make(chan error, 1)
	go func() {
		finished <- s.update(context.Background(), func(*txn) error {
			close(entered)
			<-gate
			return nil
		})
	}()
	<-entered
	return func() {
		close(gate)
		if err := <-finished; err != nil {
			t.Errorf("stalled write: %v", err)
		}
	}
}

// queued waits until n writes wait for the writer.
func queued(t *testing.T, s *Store, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d queued writes", n), func() bool { return len(s.writes) >= n })
}

// await asks again and again until the condition holds, for ten seconds at most.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func putKey(key string) func(*txn) error {
	return func(t *txn) error { return t.put(bucketMeta, []byte(key), []byte("x")) }
}

func has(t *testing.T, s *Store, key string) bool {
	t.Helper()
	var found bool
	err := s.view(t.Context(), func(t *txn) error {
		v, err := t.get(bucketMeta, []byte(key))
		found = v != nil
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var errBusiness = errors.New("business error")

func TestGroupFailureStaysWithItsFunction(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  func(*txn) error
		want error
	}{
		{"fails before writing", func(*txn) error { return errBusiness }, errBusiness},
		{"fails after writing", func(t *txn) error { return errors.Join(putKey("bad")(t), errBusiness) }, errBusiness},
		{"panics", func(t *txn) error { putKey("bad")(t); panic("boom") }, store.ErrUnavailable},
		{"dereferences nil", func(*txn) error { var s *Store; s.path = ""; return nil }, store.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t, dbPath(t), Options{})
			release := stall(t, s)
			do := []func(*txn) error{putKey("one"), c.bad, putKey("two")}
			errs := make([]error, len(do))
			var wg sync.WaitGroup
			for i, f := range do {
				wg.Go(func() { errs[i] = s.update(context.Background(), f) })
				queued(t, s, i+1)
			}
			release()
			wg.Wait()
			if errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], c.want) {
				t.Errorf("got %v", errs)
			}
			if !has(t, s, "one") || !has(t, s, "two") || has(t, s, "bad") {
				t.Errorf("one %v, two %v, bad %v", has(t, s, "one"), has(t, s, "two"), has(t, s, "bad"))
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("the store does not go on: %v", err)
			}
		})
	}
}

func TestGroupIsOneCommit(t *testing.T) {
	s := openTest(t, dbPath(t), Options{})
	release := stall(t, s)
	ids := make([]int, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			err := s.update(context.Background(), func(t *txn) error {
				ids[i] = t.tx.ID()
				return nil
			})
			if err != nil {
				t.Errorf("update: %v", err)
			}
		})
	}
	queued(t, s, len(ids))
	release()
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several transactions: %v", ids)
		}
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	s := openTest(t, dbPath(t), Options{})
	release := stall(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.update(ctx, putKey("late")) }()
	queued(t, s, 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has(t, s, "late") {
		t.Error("a cancelled write was done")
	}
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	path := dbPath(t)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	release := stall(t, s)
	done := make(chan error)
	go func() { done <- s.update(context.Background(), putKey("waiting")) }()
	queued(t, s, 1)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	release()
	if err := <-done; err != nil {
		t.Errorf("waiting write: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if !has(t, openTest(t, path, Options{}), "waiting") {
		t.Error("the write is lost")
	}
}

func TestFullQueueHonoursContext(t *testing.T) {
	s := openTest(t, dbPath(t), Options{})
	release := stall(t, s)
	var wg sync.WaitGroup
	for range maxGroup {
		wg.Go(func() {
			if err := s.Ping(context.Background()); err != nil {
				t.Errorf("ping: %v", err)
			}
		})
	}
	queued(t, s, maxGroup)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	release()
	wg.Wait()
}

func TestReadPanicsBecomeErrors(t *testing.T) {
	s := openTest(t, dbPath(t), Options{})
	err := s.view(t.Context(), func(*txn) error { panic("page 7: unexpected") })
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
}
