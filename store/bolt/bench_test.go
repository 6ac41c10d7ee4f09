package bolt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/careerrelay/careerrelay/store"
)

func benchOffer(k *store.Keys, i int64) store.Offer {
	message, address := fmt.Sprintf("<%d@ats.example>", i), fmt.Sprintf("c%d@example.org", i)
	return store.Offer{Key: k.Key("sample", message, address), Token: k.Token("sample", message, address), Company: "sample",
		Person: k.Person("sample", address), Kind: "rejection", Rule: "ja.oinori", Language: "ja", Stage: "document"}
}

func benchKeys(b *testing.B) *store.Keys {
	b.Helper()
	k, err := store.NewKeys([]byte("a secret for the benchmarks....."))
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// BenchmarkOffer is what an edited message waits for: one Offer, on disk.
func BenchmarkOffer(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, keys := benchStore(b), benchKeys(b)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := s.Offer(context.Background(), benchOffer(keys, i)); err != nil {
							b.Errorf("offer: %v", err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	s, keys := benchStore(b), benchKeys(b)
	for i := range int64(1000) {
		if _, err := s.Offer(b.Context(), benchOffer(keys, i)); err != nil {
			b.Fatal(err)
		}
	}
	tokens := make([]store.Token, 1000)
	for i := range tokens {
		tokens[i] = benchOffer(keys, int64(i)).Token
	}
	for i := 0; b.Loop(); i++ {
		if _, err := s.Lookup(b.Context(), tokens[i%1000]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFile measures the file per referral, offered and confirmed, and how
// long opening takes: both passes through the whole file.
func BenchmarkFile(b *testing.B) {
	const referrals = 100_000
	path := filepath.Join(b.TempDir(), "store.db")
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	fillFile(b, s, referrals)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/referrals, "B/referral")
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/open")
}

func fillFile(b *testing.B, s *Store, referrals int64) {
	b.Helper()
	keys := benchKeys(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= referrals; i = next.Add(1) {
				o := benchOffer(keys, i)
				if _, err := s.Offer(context.Background(), o); err != nil {
					b.Errorf("offer: %v", err)
				}
				if err := s.Confirm(context.Background(), o.Token); err != nil {
					b.Errorf("confirm: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(filepath.Join(b.TempDir(), "store.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}
