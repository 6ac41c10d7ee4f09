package smtp

import (
	"context"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// textContent is a message in memory.
type textContent string

func (c textContent) Size() int64 { return int64(len(c)) }
func (c textContent) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(c))
	return int64(n), err
}

// serverAt is the server of a test at addr.
func serverAt(t testing.TB, addr string, s Security) Server {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return Server{Host: host, Port: n, Security: s}
}

// shortTimeouts let a test of silence end soon, wherever it is.
func shortTimeouts() UpstreamTimeouts {
	const short = 300 * time.Millisecond
	return UpstreamTimeouts{Dial: short, TLS: short, Greeting: short, Command: short, Block: short, FinalDot: short,
		Begin: 4 * short, Data: 8 * short}
}

// hangTimeouts let a test of silence at step end soon; all other steps may take
// their time, on a busy machine too.
func hangTimeouts(step smtptest.Step) UpstreamTimeouts {
	const short = 300 * time.Millisecond
	switch step {
	case smtptest.Connect, smtptest.Greeting:
		return UpstreamTimeouts{Greeting: short}
	case smtptest.FirstByte, smtptest.MidBody:
		return UpstreamTimeouts{Block: short}
	case smtptest.FinalDot, smtptest.AfterDot:
		return UpstreamTimeouts{FinalDot: short}
	}
	return UpstreamTimeouts{Command: 2 * short}
}

// newPool makes an Upstream in front of test servers; it closes with the test.
func newPool(t testing.TB, change func(*UpstreamOptions), servers ...*smtptest.Upstream) *Upstream {
	t.Helper()
	o := UpstreamOptions{Hostname: "relay.example"}
	for _, s := range servers {
		o.Servers = append(o.Servers, serverAt(t, s.Addr(), Plaintext))
	}
	if change != nil {
		change(&o)
	}
	u, err := NewUpstream(o)
	if err != nil {
		t.Fatalf("new upstream: %v", err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

// narrow dials with a small socket buffer: together with a narrow server, a
// letter of wideLetter octets does not fit in between.
func narrow(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if tcp, ok := c.(*net.TCPConn); ok {
		err = tcp.SetWriteBuffer(16 << 10)
	}
	return c, err
}

const wideLetter = 1 << 20

// carried is how far one mail came, and its last answer.
type carried struct {
	step  string // the step that gave the answer
	reply Reply
	err   error
}

// heard is what the relay would say of it.
func (c carried) heard() string {
	r := c.reply
	if c.err != nil {
		r = replyFor(c.err)
	}
	b := r.append(nil)
	return string(b[:len(b)-2])
}

// carry sends one mail to two recipients and stops at the first answer that is
// not the good one.
func carry(ctx context.Context, u *Upstream, m Content) carried {
	x, r, err := u.Begin(ctx, "<hr@company.example>", "")
	if err != nil || r.Class() != 2 {
		if x != nil {
			x.End()
		}
		return carried{"MAIL", r, err}
	}
	defer x.End()
	for _, to := range []string{"<one@mail.example>", "<two@mail.example>"} {
		if r, err = x.Rcpt(ctx, to, ""); err != nil || r.Class() != 2 {
			return carried{"RCPT", r, err}
		}
	}
	r, err = x.Data(ctx, m)
	return carried{"DATA", r, err}
}

// letterText is a message of about size octets, with dots where they hurt.
func letterText(size int) textContent {
	b := []byte("Subject: hello\r\n\r\n.\r\n..\r\n")
	for len(b) < size {
		b = append(b, ".Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do.\r\n"...)
	}
	return textContent(b)
}
