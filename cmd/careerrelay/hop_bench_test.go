package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// BenchmarkWholeHop measures the product as it is shipped, built-in rules and
// bbolt with its commits included, between a generator and a sink that are the
// same without the relay ("direct"). One client shows the latency the relay
// adds, ten show the throughput. Allocations are those of generator and sink
// too: "direct" tells how many.
func BenchmarkWholeHop(b *testing.B) {
	for _, clients := range []int{1, 10} {
		for _, size := range []int{2 << 10, 30 << 10} {
			for _, way := range []string{"direct", "unedited", "edited"} {
				b.Run(fmt.Sprintf("%d/%dKB/%s", clients, size>>10, way), func(b *testing.B) {
					sink, load := smtptest.NewSink(b), wholeLoad(way, size)
					load.Clients = clients
					if way == "direct" {
						load.Run(b, sink.Addr)
						return
					}
					s, address := benchRelay(b, sink.Addr)
					load.Run(b, address)
					edited := offered(b, s)
					if way == "edited" && edited < b.N || way == "unedited" && edited > 0 {
						b.Fatalf("%d of %d messages were edited", edited, b.N)
					}
				})
			}
		}
	}
}

// wholeLoad is mail that each has a candidate and a Message-ID of its own.
func wholeLoad(way string, size int) smtptest.Load {
	text := "Please find the schedule of next week's meetings below.\r\n"
	if way == "edited" {
		text = "Thank you for applying for the position of engineer. We regret to inform you that we will not be moving forward with your application.\r\n"
	}
	letter := smtptest.Letter(text, size)
	return smtptest.Load{
		From:    "hr@sample.example.jp",
		Rcpt:    func(n int64) string { return fmt.Sprintf("c%d@mail.example", n) },
		Message: func(n int64) string { return fmt.Sprintf("Message-ID: <%d@sample.example.jp>\r\n%s", n, letter) },
	}
}

// benchRelay is the whole relay in front of a sink.
func benchRelay(b *testing.B, to string) (*server, string) {
	b.Helper()
	dir := b.TempDir()
	text := strings.NewReplacer("127.0.0.1:2526", to, "127.0.0.1:2525", "127.0.0.1:0", "127.0.0.1:8080", "127.0.0.1:0",
		"127.0.0.1:9090", "127.0.0.1:0", "    mode: insert", "    burst: {insertions: 100000000}\n    mode: insert").Replace(string(configs.Sample))
	file := filepath.Join(dir, "careerrelay.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	config, err := configs.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	l, err := openListeners(config.Listen, nil)
	if err != nil {
		b.Fatal(err)
	}
	s, err := start(config, l, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err, l.close())
	}
	b.Cleanup(func() {
		if err := s.shutdown(); err != nil {
			b.Error(err)
		}
	})
	return s, l.smtp[0].Addr().String()
}

// offered is how many referrals the relay recorded.
func offered(b *testing.B, s *server) int {
	b.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "careerrelay_referrals_total" && m.GetLabel()[0].GetValue() == "offered" {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}
