package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, place string, o storetest.Options) store.Full {
		s, err := bolt.Open(filepath.Join(place, "store.db"), bolt.Options{Policy: store.Policy{
			Now: o.Now, Ratio: o.Ratio, RatioOf: func(c string) int { return o.Ratios[c] }, Attribution: o.Attribution, Outbox: o.Outbox}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
