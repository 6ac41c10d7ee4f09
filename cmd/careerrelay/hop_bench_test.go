package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/configs"
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
				b.Run(fmt.Sprintf("%dclients/%dKB/%s", clients, size>>10, way), func(b *testing.B) {
					to := benchSink(b)
					if way == "direct" {
						sendAll(b, to, clients, benchLetter(way, size))
						return
					}
					s, address := benchRelay(b, to)
					sendAll(b, address, clients, benchLetter(way, size))
					edited := offered(b, s)
					if way == "edited" && edited < b.N || way == "unedited" && edited > 0 {
						b.Fatalf("%d of %d messages were edited", edited, b.N)
					}
				})
			}
		}
	}
}

// benchLetter is a mail of about size octets in paragraphs, without the
// Message-ID on top.
func benchLetter(way string, size int) string {
	text := "Please find the schedule of next week's meetings below.\r\n"
	if way == "edited" {
		text = "Thank you for applying for the position of engineer. We regret to inform you that we will not be moving forward with your application.\r\n"
	}
	paragraph := strings.Repeat(strings.Repeat("lorem ipsum ", 6)+"\r\n", 6) + "\r\n"
	return "From: hr@sample.example.jp\r\nTo: candidate@mail.example\r\nSubject: Your application\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text + "\r\n" + strings.Repeat(paragraph, size/len(paragraph)+1) + ".\r\n"
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

// benchSink is a mail server that reads and says yes, until the benchmark ends.
func benchSink(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { swallowMail(c) })
		}
	})
	b.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// swallowMail serves one client of the sink.
func swallowMail(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	reply := "220 sink\r\n"
	for message := false; ; {
		if _, err := io.WriteString(c, reply); reply != "" && err != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return
		case message && string(line) != ".\r\n":
			reply = ""
		case message:
			message, reply = false, "250 2.0.0 OK\r\n"
		case bytes.HasPrefix(line, []byte("EHLO")):
			reply = "250-sink\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SIZE 100000000\r\n"
		case bytes.HasPrefix(line, []byte("DATA")):
			message, reply = true, "354 go\r\n"
		default:
			reply = "250 2.0.0 OK\r\n"
		}
	}
}

// sendAll sends b.N messages over some connections that stay open, and reports
// how long one took from MAIL to the last answer.
func sendAll(b *testing.B, to string, clients int, letter string) {
	b.SetBytes(int64(len(letter)))
	b.ReportAllocs()
	var next atomic.Int64
	took := make([]time.Duration, b.N)
	connections := make([]*benchClient, clients)
	for i := range connections {
		connections[i] = dialBench(b, to)
	}
	b.ResetTimer()
	var running sync.WaitGroup
	for _, c := range connections {
		running.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				began := time.Now()
				if err := c.send(i, letter); err != nil {
					b.Error(err)
					return
				}
				took[i-1] = time.Since(began)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	for _, c := range connections {
		c.conn.Close()
	}
}

// benchClient is one connection of the generator.
type benchClient struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialBench(b *testing.B, to string) *benchClient {
	b.Helper()
	conn, err := net.Dial("tcp", to)
	if err != nil {
		b.Fatal(err)
	}
	c := &benchClient{conn, bufio.NewReader(conn)}
	if err := errors.Join(c.ask(""), c.ask("EHLO client.example\r\n")); err != nil {
		b.Fatal(err)
	}
	return c
}

// send is one transaction; each has a candidate of its own.
func (c *benchClient) send(n int64, letter string) error {
	return errors.Join(
		c.ask("MAIL FROM:<hr@sample.example.jp>\r\n"), c.ask(fmt.Sprintf("RCPT TO:<c%d@mail.example>\r\n", n)),
		c.ask("DATA\r\n"), c.ask(fmt.Sprintf("Message-ID: <%d@sample.example.jp>\r\n%s", n, letter)))
}

// ask says something and waits for an answer that is no refusal.
func (c *benchClient) ask(text string) error {
	if _, err := io.WriteString(c.conn, text); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line[0] != '2' && line[0] != '3' {
			return fmt.Errorf("answer %q", line)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}
