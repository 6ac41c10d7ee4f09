package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path"
	"strings"
	"testing"
	"time"
)

// Client is a client that says exactly what it is told. It fails its test when
// an answer does not come or is not the expected one.
type Client struct {
	t    testing.TB
	raw  net.Conn
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to addr; the connection ends with the test.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return &Client{t, c, c, bufio.NewReader(c)}
}

// Send writes octets as they are.
func (c *Client) Send(text string) {
	c.t.Helper()
	c.deadline()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// Reply reads one reply with all its lines, joined by "\n".
func (c *Client) Reply() string {
	c.t.Helper()
	c.deadline()
	var lines []string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read reply: %v (so far %q)", err, append(lines, line))
		}
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// Expect reads one reply and compares it with a pattern such as "250 2.1.0*".
func (c *Client) Expect(pattern string) string {
	c.t.Helper()
	got := c.Reply()
	if ok, err := path.Match(strings.ReplaceAll(pattern, "/", "?"), strings.ReplaceAll(got, "/", "?")); err != nil || !ok {
		c.t.Fatalf("got reply %q, want %q", got, pattern)
	}
	return got
}

// Talk plays a dialogue: "C: text" is sent with CRLF, "S: pattern" is expected.
func (c *Client) Talk(dialogue ...string) {
	c.t.Helper()
	for _, line := range dialogue {
		who, text, _ := strings.Cut(line, ": ")
		switch who {
		case "C":
			c.Send(text + "\r\n")
		case "S":
			c.Expect(text)
		default:
			c.t.Fatalf("dialogue line %q begins with neither C nor S", line)
		}
	}
}

// Encrypt does the TLS handshake, after STARTTLS or at once.
func (c *Client) Encrypt(cfg *tls.Config) {
	c.t.Helper()
	c.deadline()
	encrypted := tls.Client(c.raw, cfg)
	if err := encrypted.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.conn, c.in = encrypted, bufio.NewReader(encrypted)
}

// Gone waits for the end of the connection; anything said before fails the test.
func (c *Client) Gone() {
	c.t.Helper()
	c.deadline()
	rest, err := io.ReadAll(c.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("the connection stays open after %q", rest)
	}
	if len(rest) > 0 {
		c.t.Fatalf("got %q before the end, want nothing", rest)
	}
}

// Close ends the connection in good order.
func (c *Client) Close() { c.conn.Close() }

// Abort ends the connection with a TCP reset.
func (c *Client) Abort() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.raw.Close()
}

func (c *Client) deadline() {
	c.t.Helper()
	if err := c.raw.SetDeadline(time.Now().Add(Patience)); err != nil {
		c.t.Fatalf("set deadline: %v", err)
	}
}
