package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/careerrelay/careerrelay/store/engine"
)

// class is what an error means for the transaction it ended.
type class int

const (
	answer  class = iota // not the database's: what a step decided
	again                // two transactions met: begin anew
	torn                 // read between two changes of another transaction, or damaged
	stale                // the connection is gone, nothing was committed: try a new one
	down                 // the database cannot serve
	refused              // the database will never take this value
)

// classify reads an error of database.attempt. SQLSTATE classes are those of
// PostgreSQL's appendix A; CockroachDB and others use the same.
func classify(err error) class {
	state := stateOf(err)
	switch state {
	case "40001", "40P01", "23505": // serialisation failure, deadlock, unique violation
		return again
	case "57P01", "57P02", "57P05": // the server ended this session
		if uncertain(err) {
			return down
		}
		return stale
	}
	switch {
	case state == "":
		return classifyLocal(err)
	case state[:2] == "22":
		return refused
	}
	return down
}

func uncertain(err error) bool {
	_, ok := errors.AsType[notKnown](err)
	return ok
}

// classifyLocal reads an error that no server sent.
func classifyLocal(err error) class {
	_, begun := errors.AsType[notBegun](err)
	_, statement := errors.AsType[failedStatement](err)
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case errors.Is(err, engine.ErrDamaged):
		return torn
	case connect, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), uncertain(err):
		return down
	case begun, statement:
		return stale
	}
	return answer
}

// unreachable reports whether the next transaction would end the same way. One
// that waited too long for another's lock says nothing about the next.
func unreachable(kind class, err error) bool {
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	return kind == stale || connect || kind == down && !late
}

// tries is how often a transaction may run in all.
func tries(c class) int {
	switch c {
	case again:
		return maxTries
	case torn:
		return 4
	case stale:
		return 3
	}
	return 1
}

// pause waits before the next try, longer and longer, and each relay differently.
// It reports whether there is time for one.
func pause(ctx context.Context, n int, c class) bool {
	if c == stale {
		return ctx.Err() == nil
	}
	longest := min(time.Millisecond<<n, 100*time.Millisecond)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
