package smtp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
)

// sink is the fastest mail server there can be: it reads and says yes.
func sink(b *testing.B) string {
	return listen(b, func(c net.Conn) {
		io.WriteString(c, "220 sink\r\n")
		in := bufio.NewReaderSize(c, 64<<10)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			reply := "250 2.0.0 OK\r\n"
			switch line[0] | 0x20 {
			case 'e':
				reply = "250-sink\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SIZE 100000000\r\n"
			case 'd':
				io.WriteString(c, "354 go\r\n")
				if swallow(in) != nil {
					return
				}
			case 'q':
				io.WriteString(c, "221 bye\r\n")
				return
			}
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
		}
	})
}

// swallow reads up to CRLF.CRLF; the messages of the benchmark have no other dots
// at the start of a line.
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
			in.Discard(len(p) - keep)
		} else if _, err := in.Peek(len(p) + 1); err != nil {
			return err
		}
	}
}

// listen serves each connection with serve until the benchmark ends.
func listen(b *testing.B, serve func(net.Conn)) string {
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
			running.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	b.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// splice is the limit of any hop: it copies octets both ways.
func splice(b *testing.B, to string) string {
	return listen(b, func(c net.Conn) {
		up, err := net.Dial("tcp", to)
		if err != nil {
			b.Error(err)
			return
		}
		defer up.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(c, up)
			c.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(up, c)
		up.(*net.TCPConn).CloseWrite()
		<-done
	})
}

// relayTo is a relay in front of a sink.
func relayTo(b *testing.B, to, way string) string {
	up, err := NewUpstream(UpstreamOptions{Servers: []Server{serverAt(b, to, Plaintext)}, Hostname: "relay.example"})
	if err != nil {
		b.Fatal(err)
	}
	o := testOptions(b, nil, &fakeReferrals{})
	o.Companies[0].upstream, o.Companies[0].Upstream = nil, up
	o.Companies[0].editor = nil
	o.Companies[0].Rules, o.Companies[0].Block = benchRules{way == "edited"}, testBlock
	if way == "off" {
		o.Companies[0].Mode = Off
	}
	proxy, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(ctx, l) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
		up.Close()
	})
	return l.Addr().String()
}

// benchRules decide without looking: the cost of the rules is package rewrite's.
type benchRules struct{ edit bool }

func (r benchRules) Decide(*rewrite.Reading, rewrite.Envelope) rewrite.Verdict {
	if r.edit {
		return rewrite.Verdict{Kind: rewrite.Rejection, Rule: "bench", Language: "en"}
	}
	return rewrite.Verdict{Kind: rewrite.None, Reason: "no_rule"}
}

// benchMessage is a mail of about size octets; a large one is an attachment.
func benchMessage(n, size int) string {
	line := strings.Repeat("x", 74) + "\r\n"
	head := fmt.Sprintf("Message-ID: <%d@company.example>\r\nMIME-Version: 1.0\r\n", n)
	if size < 1<<20 {
		return head + "Content-Type: text/plain; charset=utf-8\r\n\r\nWe must decline.\r\n" + strings.Repeat(line, size/len(line))
	}
	return head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nWe must decline.\r\n" +
		"--b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(line, size/len(line)) + "--b--\r\n"
}

// BenchmarkHop measures the whole hop: 10 clients, 100 messages a connection,
// against a TCP splice between the same generator and sink.
func BenchmarkHop(b *testing.B) {
	for _, size := range []int{2 << 10, 30 << 10, 2 << 20} {
		for _, way := range []string{"splice", "off", "unedited", "edited"} {
			b.Run(fmt.Sprintf("%dKB/%s", size>>10, way), func(b *testing.B) {
				to := sink(b)
				switch way {
				case "splice":
					to = splice(b, to)
				default:
					to = relayTo(b, to, way)
				}
				generate(b, to, size)
			})
		}
	}
}

// generate sends b.N messages over 10 connections, 100 on each.
func generate(b *testing.B, to string, size int) {
	const clients, perConnection = 10, 100
	message := []byte(benchMessage(1, size) + ".\r\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	work := make(chan int)
	var running sync.WaitGroup
	b.ResetTimer()
	for range clients {
		running.Go(func() {
			for n := range work {
				if err := sendSeveral(to, message, n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for left := b.N; left > 0; left -= perConnection {
		work <- min(left, perConnection)
	}
	close(work)
	running.Wait()
	b.StopTimer()
}

func sendSeveral(to string, message []byte, n int) error {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	ask := func(p []byte) error {
		if _, err := c.Write(p); err != nil {
			return err
		}
		for {
			line, err := in.ReadSlice('\n')
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
	if err := ask(nil); err != nil {
		return err
	}
	steps := [][]byte{[]byte("MAIL FROM:<hr@company.example>\r\n"), []byte("RCPT TO:<candidate@mail.example>\r\n"), []byte("DATA\r\n"), message}
	if err := ask([]byte("EHLO c\r\n")); err != nil {
		return err
	}
	for range n {
		for _, s := range steps {
			if err := ask(s); err != nil {
				return err
			}
		}
	}
	return ask([]byte("QUIT\r\n"))
}
