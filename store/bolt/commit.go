package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"go.etcd.io/bbolt"
)

// maxGroup bounds the functions in one commit, and with it the time that the
// first of them waits for the last.
const maxGroup = 256

// write is one function waiting for its commit.
type write struct {
	ctx   context.Context
	do    func(*txn) error
	taken atomic.Bool // by the writer, or by a caller that gave up
	err   error       // what do said
	done  chan error
}

// update runs do in a transaction that it shares with everyone else who waits,
// and returns when that is on disk. do may run again after another's failure:
// it must begin anew each time, assign its results and never append to them.
// ctx counts until the transaction starts.
func (s *Store) update(ctx context.Context, do func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{ctx: ctx, do: do, done: make(chan error, 1)}
	if err := s.enqueue(w); err != nil {
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		if w.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-w.done
	}
}

func (s *Store) enqueue(w *write) error {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return errClosed()
	}
	select {
	case s.writes <- w:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// writer is the only goroutine that writes. It takes all that wait, commits them
// with one fsync, and ends when Close has closed the channel and the rest is
// committed.
func (s *Store) writer() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true) // a damaged or shortened file faults inside the map
	group := make([]*write, 0, maxGroup)
	for first := range s.writes {
		group = s.gather(append(group[:0], first))
		if len(group) > 0 {
			s.commit(group)
		}
	}
}

// gather adds what waits already, and leaves out those whose caller is gone.
func (s *Store) gather(group []*write) []*write {
	group = take(group[:0], group[0])
	for len(group) < maxGroup {
		select {
		case w, ok := <-s.writes:
			if !ok {
				return group
			}
			group = take(group, w)
		default:
			return group
		}
	}
	return group
}

func take(group []*write, w *write) []*write {
	if !w.taken.CompareAndSwap(false, true) {
		return group
	}
	if err := w.ctx.Err(); err != nil {
		w.done <- err
		return group
	}
	return append(group, w)
}

// errAlone says that a group must be rolled back and its functions run one by
// one, since one of them failed after it had written.
var errAlone = errors.New("run alone")

func (s *Store) commit(group []*write) {
	err := s.attempt(group)
	if errors.Is(err, errAlone) {
		for _, w := range group {
			w.answer(s.attempt([]*write{w}))
		}
		return
	}
	for _, w := range group {
		w.answer(err)
	}
}

// answer hands out the commit's error before the function's own: what a function
// saw in a transaction that was not committed may not be true.
func (w *write) answer(commitErr error) {
	if commitErr != nil && !errors.Is(commitErr, errAlone) {
		w.done <- commitErr
		return
	}
	w.done <- w.err
}

// attempt runs a group in one transaction. A function that fails before it
// writes does not touch the others: the group is committed all the same, since
// a rollback makes bbolt read the whole file for its free pages.
func (s *Store) attempt(group []*write) error {
	if err := s.ready(); err != nil {
		return err
	}
	begun := time.Now()
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.outage("begin", err, begun)
	}
	spoiled, err := runGroup(tx, group)
	switch {
	case err != nil:
		return s.recoverFrom(tx, group, err)
	case spoiled:
		if err := guard(tx.Rollback); err != nil {
			return s.fail(err)
		}
		return errAlone
	}
	err = guard(tx.Commit)
	var p panicked
	switch {
	case errors.As(err, &p):
		return s.recoverFrom(tx, group, err)
	case err != nil:
		return s.outage("commit", err, begun)
	}
	s.retryAt.Store(0)
	return nil
}

// runGroup runs each function. spoiled says that one failed after writing; err
// is a panic.
func runGroup(tx *bbolt.Tx, group []*write) (spoiled bool, err error) {
	t := &txn{tx: tx}
	for _, w := range group {
		t.dirty = false
		w.err = guard(func() error { return w.do(t) })
		var p panicked
		if errors.As(w.err, &p) {
			return false, w.err
		}
		if w.err != nil && t.dirty {
			spoiled = true
		}
		if spoiled {
			return true, nil
		}
	}
	return false, nil
}

// recoverFrom decides after a panic. bbolt's rollback reads the whole file in a
// goroutine of its own, where a damaged page would end the process: so the file
// is read here first. A sound file means the function was at fault; then the
// others go on without it. A damaged one closes the store for good.
func (s *Store) recoverFrom(tx *bbolt.Tx, group []*write, cause error) error {
	if err := walk(s.db); err != nil {
		return s.fail(fmt.Errorf("%w (after %v)", err, cause))
	}
	if err := guard(tx.Rollback); err != nil {
		return s.fail(err)
	}
	s.log.Error("store function panicked", "err", cause)
	if len(group) == 1 {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, cause)
	}
	return errAlone
}

// outage is a failed commit of a sound file, as when the disk is full. Nothing
// was changed. The next attempts are refused for ten times as long as this one
// took (at most five seconds): the rollback has read the whole file, and a full
// disk must not turn every message into such a reading.
func (s *Store) outage(step string, err error, begun time.Time) error {
	wait := min(10*time.Since(begun), 5*time.Second)
	s.retryAt.Store(time.Since(s.opened).Nanoseconds() + wait.Nanoseconds())
	return fmt.Errorf("%s: %w: %w", step, store.ErrUnavailable, err)
}

// ready says why no transaction may start.
func (s *Store) ready() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	if at := s.retryAt.Load(); at != 0 && time.Since(s.opened).Nanoseconds() < at {
		return fmt.Errorf("%w: waiting after a failed commit", store.ErrUnavailable)
	}
	return nil
}

// fail closes the store to every further transaction; the file stays as it is.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w", store.ErrUnavailable, cause)
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("store is damaged and stays closed: restore a backup", "err", err)
	}
	return err
}

// view runs do in a read transaction, which must be short: pages that writers
// free are not used again while it is open.
func (s *Store) view(ctx context.Context, do func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return errClosed()
	}
	if err := s.broken.Load(); err != nil {
		return *err
	}
	err := guardFaults(func() error {
		return s.db.View(func(tx *bbolt.Tx) error { return do(&txn{tx: tx}) })
	})
	var p panicked
	if errors.As(err, &p) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

func errClosed() error { return fmt.Errorf("%w: closed", store.ErrUnavailable) }

// panicked is a panic turned into an error.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("database is damaged: %v", p.value) }

// guard turns a panic into an error: bbolt panics on many kinds of damage.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked{v}
		}
	}()
	return f()
}

// guardFaults is guard for goroutines that are not ours: it also turns memory
// faults in the mapped file into panics.
func guardFaults(f func() error) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return guard(f)
}

// walk reads every page that the tree leads to, and checks that each key is where
// the tree says: bbolt's own check must not be the first to find a disorder, for
// it ends the process.
func walk(db *bbolt.DB) error {
	return guardFaults(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				if err := inOrder(b); err != nil {
					return fmt.Errorf("bucket %q: %w", name, err)
				}
				return nil
			})
		})
	})
}

var errDisorder = errors.New("database is damaged: keys are out of order")

// inOrder checks that the keys of a bucket ascend and that a search finds each.
func inOrder(b *bbolt.Bucket) error {
	var last []byte
	search := b.Cursor()
	return b.ForEach(func(k, _ []byte) error {
		if last != nil && bytes.Compare(last, k) >= 0 {
			return errDisorder
		}
		if found, _ := search.Seek(k); !bytes.Equal(found, k) {
			return errDisorder
		}
		last = k
		return nil
	})
}
