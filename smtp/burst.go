package smtp

import (
	"sync"
	"time"
)

// burst stops inserting when far more rejections than usual come. It keeps the
// instants of the insertions that lie within the window.
type burst struct {
	limit Burst

	mu    sync.Mutex // guards times
	times []time.Time
}

// allow counts one insertion, unless the window is full.
func (b *burst) allow(now time.Time) bool {
	if b.limit.Insertions == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := 0
	for old < len(b.times) && now.Sub(b.times[old]) >= b.limit.Window {
		old++
	}
	b.times = append(b.times[:0], b.times[old:]...)
	if len(b.times) >= b.limit.Insertions {
		return false
	}
	b.times = append(b.times, now)
	return true
}
