package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// addPace adds counts to the slot of an instant.
func (f *fixture) addPace(company string, at time.Time, allowed, refused int64) {
	f.t.Helper()
	p := store.PaceAt(company, at)
	p.Allowed, p.Refused = allowed, refused
	f.must("add pace", f.s.AddPace(f.ctx, p))
}

func (f *fixture) checkPace(company string, since time.Time, want ...store.Pace) {
	f.t.Helper()
	got, err := f.s.Pace(f.ctx, company, since)
	f.must("read pace", err)
	if !slices.Equal(got, want) {
		f.t.Errorf("pace of %s since %s: %+v, want %+v", company, since, got, want)
	}
}

// pace: slots add up, belong to one company, survive, and are forgotten.
func pace(f *fixture) {
	first := store.PaceAt("c", start)
	second := store.PaceAt("c", start.Add(store.PaceSlot))
	f.checkPace("c", time.Time{})
	f.addPace("c", start, 2, 0)
	f.addPace("c", start.Add(time.Second), 3, 1)
	f.addPace("c", second.Slot, 1, 0)
	f.addPace("cc", start, 9, 9)
	first.Allowed, first.Refused, second.Allowed = 5, 1, 1
	f.reopen()
	f.checkPace("c", time.Time{}, first, second)
	f.checkPace("c", first.Slot, first, second)
	f.checkPace("c", first.Slot.Add(time.Second), second)
	f.checkPace("d", time.Time{})

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { f.addPace("c", second.Slot, 1, 1) })
	}
	all.Wait()
	second.Allowed, second.Refused = 9, 8
	f.checkPace("c", second.Slot, second)

	f.addPace("c", second.Slot.Add(store.PaceLife), 1, 0)
	last := store.PaceAt("c", second.Slot.Add(store.PaceLife))
	last.Allowed = 1
	f.checkPace("c", time.Time{}, second, last)

	for name, bad := range map[string]store.Pace{
		"no company": {Slot: first.Slot}, "within a slot": {Company: "c", Slot: first.Slot.Add(time.Second)},
		"below zero": {Company: "c", Slot: first.Slot, Allowed: -1}, "control character": {Company: "c\x00", Slot: first.Slot},
	} {
		if err := f.s.AddPace(f.ctx, bad); err == nil {
			f.t.Errorf("%s: was added", name)
		}
	}
}
