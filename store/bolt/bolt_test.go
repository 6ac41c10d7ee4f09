package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, place string, now func() time.Time) store.Store {
		s, err := bolt.Open(filepath.Join(place, "store.db"), bolt.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
