//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/postgres"
	"github.com/careerrelay/careerrelay/store/postgres/postgrestest"
)

// BenchmarkSeason plays half a year of 10,000 companies through the stores; N is
// the number of referrals in it:
//
//	go test -run '^$' -bench Season -benchtime 100000x ./store/postgres
//
// The clock of the season is virtual: the work is done as fast as the store can.
// docs/scale.md has the figures and what they mean.
func BenchmarkSeason(b *testing.B) {
	b.Run("bbolt", func(b *testing.B) {
		dir := b.TempDir()
		season := newSeason(b.N)
		s, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Options{Policy: store.Policy{Now: season.now}})
		if err != nil {
			b.Fatal(err)
		}
		season.run(b, []store.Full{s}, dir)
	})
	b.Run("postgres", func(b *testing.B) {
		cluster := postgrestest.Start(b, postgrestest.Options{Durable: true, Settings: []string{"shared_buffers=256MB", "max_wal_size=4GB"}})
		season := newSeason(b.N)
		url := cluster.NewURL(b)
		var relays []store.Full
		for range 3 {
			relays = append(relays, open(b, url, postgres.Options{Policy: store.Policy{Now: season.now}, Pool: 16, Timeout: time.Minute}))
		}
		season.run(b, relays, cluster.Folder())
	})
}

const companies = 10_000

// season is half a year of mail.
type season struct {
	keys     *store.Keys
	arrivals []arrival
	clock    atomic.Int64 // virtual, microseconds
	busiest  float64      // referrals in the busiest minute, per second
	largest  float64      // share of the largest company
	failed   atomic.Int64
}

type arrival struct {
	at      time.Time
	company int32
}

// Office hours in Japan: hardly anything at night, most from ten to twelve and
// from four to six; Mondays peak, weekends rest.
var (
	hourly = [24]float64{1, 0, 0, 0, 0, 0, 1, 3, 12, 40, 70, 60, 25, 40, 50, 60, 75, 70, 40, 20, 10, 6, 4, 2}
	daily  = [7]float64{0.05, 1.8, 1.1, 1, 1, 0.9, 0.1} // from Sunday
)

func newSeason(referrals int) *season {
	s := &season{}
	s.keys, _ = store.NewKeys([]byte("a secret for the simulation....")) // long enough
	random := rand.New(rand.NewPCG(1, 2))
	share := s.companyShares()
	rate := minuteRates(random)
	perMinute := map[int]int{}
	for range referrals {
		m := pick(rate, random)
		perMinute[m]++
		at := seasonStart.Add(time.Duration(m)*time.Minute + time.Duration(random.Int64N(int64(time.Minute))))
		s.arrivals = append(s.arrivals, arrival{at: at, company: int32(pick(share, random))})
	}
	slices.SortFunc(s.arrivals, func(a, b arrival) int { return a.at.Compare(b.at) })
	for _, n := range perMinute {
		s.busiest = max(s.busiest, float64(n)/60)
	}
	s.clock.Store(seasonStart.UnixMicro())
	return s
}

var seasonStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.FixedZone("JST", 9*60*60))

// companyShares sums up who sends how much: a few huge companies, many small ones
// (the n-th largest sends n^-0.9 of the largest).
func (s *season) companyShares() []float64 {
	var sum float64
	sums := make([]float64, companies)
	for i := range sums {
		sum += math.Pow(float64(i+1), -0.9)
		sums[i] = sum
	}
	s.largest = sums[0] / sum
	return sums
}

// minuteRates sums up the rate of each minute of 26 weeks; on some mornings a
// company sends all its answers at once.
func minuteRates(random *rand.Rand) []float64 {
	var sum float64
	sums := make([]float64, 26*7*24*60)
	for i := range sums {
		at := seasonStart.Add(time.Duration(i) * time.Minute)
		rate := hourly[at.Hour()] * daily[at.Weekday()]
		if random.IntN(3000) == 0 {
			rate *= 20
		}
		sum += rate
		sums[i] = sum
	}
	return sums
}

// pick draws an index by its share of running sums.
func pick(sums []float64, random *rand.Rand) int {
	i, _ := slices.BinarySearch(sums, random.Float64()*sums[len(sums)-1])
	return min(i, len(sums)-1)
}

func (s *season) now() time.Time { return time.UnixMicro(s.clock.Load()).UTC() }

// run plays the season with 48 sessions at a time, over all relays.
func (s *season) run(b *testing.B, relays []store.Full, dir string) {
	const sessions = 48
	took := make([][]time.Duration, sessions)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range sessions {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 3))
			for i := next.Add(1) - 1; i < int64(len(s.arrivals)); i = next.Add(1) - 1 {
				s.clock.Store(s.arrivals[i].at.UnixMicro())
				took[w] = append(took[w], s.referral(relays[int(i)%len(relays)], i, random))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	s.report(b, slices.Concat(took...), dir)
	for _, r := range relays {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}
}

// referral plays one life: offered and sent; of ten, six are opened by people, four
// by scanners, one opts in; of a hundred one opts out. It returns how long the
// mail waited: for Offer.
func (s *season) referral(to store.Full, i int64, random *rand.Rand) time.Duration {
	ctx := context.Background()
	company := fmt.Sprintf("company-%05d", s.arrivals[i].company)
	message, address := fmt.Sprintf("<%d@ats.example>", i), fmt.Sprintf("c%d@example.org", i)
	o := store.Offer{Key: s.keys.Key(company, message, address), Token: s.keys.Token(company, message, address), Company: company,
		Person: s.keys.Person(company, address), Kind: store.KindRejection, Rule: "ja-declined", Language: "ja"}
	begun := time.Now()
	_, err := to.Offer(ctx, o)
	took := time.Since(begun)
	s.check(err)
	s.check(to.Confirm(ctx, o.Token))
	if random.IntN(10) < 4 {
		s.check(to.View(ctx, o.Token, true))
	}
	if random.IntN(10) < 6 {
		s.check(to.View(ctx, o.Token, false))
	}
	switch random.IntN(100) {
	case 0:
		s.check(to.OptOut(ctx, o.Token))
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		_, err := to.OptIn(ctx, o.Token, store.Consent{TextID: "optin-ja-1", TextSHA256: "aa", Locale: "ja", Method: "typed_address",
			Profile: make([]byte, 400)})
		s.check(err)
	}
	return took
}

func (s *season) check(err error) {
	if err != nil {
		s.failed.Add(1)
	}
}

func (s *season) report(b *testing.B, took []time.Duration, dir string) {
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	b.ReportMetric(0, "ns/op") // of a whole life: says less than the figures below
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "referrals/s")
	b.ReportMetric(at(0.5), "offer-p50-ms")
	b.ReportMetric(at(0.99), "offer-p99-ms")
	b.ReportMetric(float64(size(b, dir))/float64(len(took)), "B/referral")
	b.ReportMetric(float64(mem.HeapInuse)/1e6, "heap-MB")
	b.ReportMetric(s.busiest, "busiest-minute/s")
	b.ReportMetric(100*s.largest, "largest-company-%")
	b.ReportMetric(float64(s.failed.Load()), "failed")
}

// size is the bytes of all files, but those of a database's log, which is reused.
func size(b *testing.B, dir string) (sum int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "pg_wal" {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		b.Fatal(err)
	}
	return sum
}
