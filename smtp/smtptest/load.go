package smtptest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Sink is the fastest mail server there can be: it reads and says yes.
type Sink struct {
	Addr     string
	received atomic.Int64
	arrived  chan struct{} // tells that received has grown
}

// NewSink starts a sink that ends with the test.
func NewSink(t testing.TB) *Sink {
	s := &Sink{arrived: make(chan struct{}, 1)}
	s.Addr = serveAll(t, s.serve)
	return s
}

// Await waits until n messages have come in all. A mail server with a queue may
// take its time.
func (s *Sink) Await(t testing.TB, n int64) {
	t.Helper()
	limit := time.NewTimer(60 * Patience)
	defer limit.Stop()
	for s.received.Load() < n {
		select {
		case <-s.arrived:
		case <-limit.C:
			t.Fatalf("%d messages came, want %d", s.received.Load(), n)
		}
	}
}

func (s *Sink) serve(c net.Conn) {
	in := bufio.NewReaderSize(c, 64<<10)
	for reply := "220 sink\r\n"; ; {
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		reply = "250 2.0.0 OK\r\n"
		switch line[0] | 0x20 {
		case 'e':
			reply = "250-sink\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SIZE 100000000\r\n"
		case 'd':
			if _, err := io.WriteString(c, "354 go\r\n"); err != nil || swallow(in) != nil {
				return
			}
			s.received.Add(1)
			select {
			case s.arrived <- struct{}{}:
			default:
			}
		case 'q':
			_, _ = io.WriteString(c, "221 bye\r\n") // nobody minds
			return
		}
	}
}

// swallow reads a message up to CRLF.CRLF.
func swallow(in *bufio.Reader) error {
	end := []byte("\r\n.\r\n")
	for {
		if _, err := in.Peek(1); err != nil {
			return err
		}
		p, _ := in.Peek(in.Buffered())
		if i := bytes.Index(p, end); i >= 0 {
			_, err := in.Discard(i + len(end))
			return err
		}
		if keep := len(end) - 1; len(p) > keep {
			if _, err := in.Discard(len(p) - keep); err != nil {
				return err
			}
		} else if _, err := in.Peek(len(p) + 1); err != nil {
			return err
		}
	}
}

// NewSplice starts what copies octets both ways, and is the limit of any hop.
func NewSplice(t testing.TB, to string) string {
	return serveAll(t, func(c net.Conn) {
		up, err := net.Dial("tcp", to)
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		defer up.Close()
		back := make(chan struct{})
		go func() {
			defer close(back)
			pass(c, up)
		}()
		pass(up, c)
		<-back
	})
}

// pass copies until the end of from, and ends to.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error is the end as well
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// serveAll serves each connection until the test ends.
func serveAll(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// Load is the mail that a benchmark sends.
type Load struct {
	Clients       int // at a time
	PerConnection int // messages; 0: each client stays connected
	From          string
	Rcpt          func(n int64) string // of the n-th message
	Message       func(n int64) string // its octets, dots doubled, without the final dot
	Until         func()               // waits for the end behind the last answer; nil: that is the end
}

// Run sends b.N messages, one command at a time, and reports how long one took
// from MAIL to the last answer: half of them, and all but one in a hundred.
func (l Load) Run(b *testing.B, to string) {
	b.Helper()
	b.SetBytes(int64(len(l.Message(0))))
	b.ReportAllocs()
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for range l.Clients {
		running.Go(func() {
			for more := true; more; {
				var err error
				if more, err = l.connection(to, &next, took); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	if l.Until != nil {
		l.Until()
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// connection sends what one connection may, as long as there is any.
func (l Load) connection(to string, next *atomic.Int64, took []time.Duration) (more bool, err error) {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return false, err
	}
	defer c.Close()
	g := &generator{conn: c, in: bufio.NewReader(c)}
	if err := g.greet(); err != nil {
		return false, err
	}
	for sent := 0; l.PerConnection == 0 || sent < l.PerConnection; sent++ {
		n := next.Add(1)
		if n > int64(len(took)) {
			return false, g.ask("QUIT\r\n")
		}
		message := l.Message(n)
		began := time.Now()
		if err := g.send(l.From, l.Rcpt(n), message); err != nil {
			return false, err
		}
		took[n-1] = time.Since(began)
	}
	return true, g.ask("QUIT\r\n")
}

// generator is one connection of a load.
type generator struct {
	conn net.Conn
	in   *bufio.Reader
}

// Send sends one message over a connection of its own; its dots are doubled.
func Send(to, from, rcpt, message string) error {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	g := &generator{conn: c, in: bufio.NewReader(c)}
	if err := g.greet(); err != nil {
		return err
	}
	if err := g.send(from, rcpt, message); err != nil {
		return err
	}
	return g.ask("QUIT\r\n")
}

func (g *generator) greet() error {
	if err := g.ask(""); err != nil {
		return err
	}
	return g.ask("EHLO client.example\r\n")
}

func (g *generator) send(from, rcpt, message string) error {
	for _, text := range []string{"MAIL FROM:<" + from + ">\r\n", "RCPT TO:<" + rcpt + ">\r\n", "DATA\r\n"} {
		if err := g.ask(text); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(g.conn, message); err != nil {
		return err
	}
	return g.ask(".\r\n")
}

// ask says something and waits for an answer that is no refusal.
func (g *generator) ask(text string) error {
	if err := g.conn.SetDeadline(time.Now().Add(60 * Patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(g.conn, text); err != nil {
		return err
	}
	for {
		line, err := g.in.ReadSlice('\n')
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

// Letter is a mail of about size octets with the text in front, in paragraphs; a
// large one is an attachment. It has no Message-ID.
func Letter(text string, size int) string {
	const head = "From: hr@company.example\r\nTo: candidate@mail.example\r\nSubject: Your application\r\nMIME-Version: 1.0\r\n"
	if size >= 1<<20 {
		line := strings.Repeat("x", 76) + "\r\n"
		return head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + text +
			"--b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(line, size/len(line)) + "--b--\r\n"
	}
	paragraph := strings.Repeat(strings.Repeat("lorem ipsum ", 6)+"\r\n", 6) + "\r\n"
	return head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + text + "\r\n" + strings.Repeat(paragraph, size/len(paragraph)+1)
}
