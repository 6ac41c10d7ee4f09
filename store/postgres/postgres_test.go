//go:build unix

package postgres_test

import (
	"flag"
	"path/filepath"
	"sync"
	"testing"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
	"github.com/careerrelay/careerrelay/store/storetest"
)

func TestConformance(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	fewerHistories(t)
	var places sync.Map // folder of the suite → URL
	storetest.Run(t, func(t *testing.T, place string, o storetest.Options) store.Full {
		url, known := places.Load(filepath.Clean(place))
		if !known {
			url = cluster.NewURL(t)
			places.Store(filepath.Clean(place), url)
		}
		return open(t, url.(string), postgres.Options{Policy: store.Policy{
			Now: o.Now, Ratio: o.Ratio, RatioOf: func(c string) int { return o.Ratios[c] }, Attribution: o.Attribution, Outbox: o.Outbox}})
	})
}

// fewerHistories plays a fifth of the random histories: each step crosses a
// socket several times here, and the rules behind them are the same as in the
// embedded store's.
func fewerHistories(t *testing.T) {
	t.Helper()
	if err := flag.Set("rapid.checks", "20"); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, url string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
