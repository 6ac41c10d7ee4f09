package store_test

import (
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

func TestExposed(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 4, n, 0, 0, 0, 0, time.UTC) }
	consent := &store.Consent{Profile: []byte("sealed")}
	for name, c := range map[string]struct {
		r    store.Referral
		want store.Exposure
	}{
		"offered later":            {store.Referral{Person: "p", OfferedAt: day(12)}, store.ExposedNothing},
		"offered":                  {store.Referral{Person: "p", OfferedAt: day(1)}, store.ExposedHash},
		"opted in later":           {store.Referral{Person: "p", OfferedAt: day(1), OptedInAt: day(12), Consent: consent}, store.ExposedHash},
		"opted in":                 {store.Referral{Person: "p", OfferedAt: day(1), OptedInAt: day(2), Consent: consent}, store.ExposedProfile},
		"dropped in the time":      {store.Referral{Person: "p", OfferedAt: day(1), OptedInAt: day(2), HandedOverAt: day(3), Consent: &store.Consent{}}, store.ExposedProfile},
		"withdrawn before":         {store.Referral{Person: "p", OfferedAt: day(1), OptedInAt: day(2), WithdrawnAt: day(4), Consent: &store.Consent{}}, store.ExposedHash},
		"withdrawn after":          {store.Referral{Person: "p", OfferedAt: day(1), OptedInAt: day(2), WithdrawnAt: day(15), Consent: &store.Consent{}}, store.ExposedErased},
		"erased in the time":       {store.Referral{OfferedAt: day(1), OptedInAt: day(2), WithdrawnAt: day(7), State: store.Erased}, store.ExposedErased},
		"erased before":            {store.Referral{OfferedAt: day(1), OptedInAt: day(2), WithdrawnAt: day(3), State: store.Erased}, store.ExposedNothing},
		"erased without a consent": {store.Referral{OfferedAt: day(1), State: store.Erased}, store.ExposedNothing},
	} {
		if got := c.r.Exposed(day(5), day(10), 5*24*time.Hour); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
