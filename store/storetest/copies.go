package storetest

import (
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

func (f *fixture) checkCopy(key string, want bool) {
	f.t.Helper()
	got, err := f.s.HasCopy(f.ctx, key)
	f.must("find copy", err)
	if got != want {
		f.t.Errorf("copy %q: remembered %v, want %v", key, got, want)
	}
}

// copies: what was delivered is known for as long as a client may try again,
// over a restart, and to none that asks for another.
func copies(f *fixture) {
	f.checkCopy("a", false)
	f.must("add copy", f.s.AddCopy(f.ctx, "a"))
	f.must("add copy again", f.s.AddCopy(f.ctx, "a"))
	f.reopen()
	f.checkCopy("a", true)
	f.checkCopy("aa", false)
	f.checkCopy("", false)

	f.clock.add(store.CopyLife - time.Second)
	f.must("add copy", f.s.AddCopy(f.ctx, "b"))
	f.checkCopy("a", true)
	f.clock.add(2 * time.Second)
	f.checkCopy("a", false)
	f.checkCopy("b", true)
	f.must("add copy once more", f.s.AddCopy(f.ctx, "a"))
	f.checkCopy("a", true)

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := f.s.AddCopy(f.ctx, "c"); err != nil {
				f.t.Errorf("add copy: %v", err)
			}
		})
	}
	all.Wait()
	f.checkCopy("c", true)
	for _, bad := range []string{"", "a\x00b"} {
		if err := f.s.AddCopy(f.ctx, bad); err == nil {
			f.t.Errorf("copy %q was added", bad)
		}
	}
}
