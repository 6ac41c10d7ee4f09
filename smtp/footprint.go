package smtp

import (
	"math"
	"runtime/debug"
)

// BoundMemory makes the garbage collector keep the process near what a relay
// with these limits needs: without a bound the heap may grow to twice of what is
// in use before anything is collected. It is a soft bound, never a reason to fail,
// and gives way to the environment variable GOMEMLIMIT.
func (l Limits) BoundMemory() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // nobody else has set one
		debug.SetMemoryLimit(l.memoryGoal())
	}
}

// memoryGoal is what a relay needs for itself, for its connections and for the
// messages in flight.
func (l Limits) memoryGoal() int64 {
	const itself, connection = 22 << 20, 8 << 10
	l = l.withDefaults()
	return itself + int64(l.Connections)*connection + l.Memory
}
