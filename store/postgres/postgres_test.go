//go:build unix

package postgres_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
	"github.com/careerrelay/careerrelay/store/storetest"
)

func TestConformance(t *testing.T) {
	cluster := postgrestest.Start(t, postgrestest.Options{})
	var places sync.Map // folder of the suite → URL
	storetest.Run(t, func(t *testing.T, place string, o storetest.Options) store.Full {
		url, known := places.Load(filepath.Clean(place))
		if !known {
			url = cluster.NewURL(t)
			places.Store(filepath.Clean(place), url)
		}
		return open(t, url.(string), postgres.Options{Options: engine.Options{
			Now: o.Now, Ratio: o.Ratio, Attribution: o.Attribution, Outbox: o.Outbox}})
	})
}

func open(t testing.TB, url string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
