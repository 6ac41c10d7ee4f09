package smtp

import (
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// states are the states of a session, each with the octets that lead to it.
var states = []string{
	"",
	"EHLO c\r\n",
	"EHLO c\r\nMAIL FROM:<a@company.example>\r\n",
	"EHLO c\r\nMAIL FROM:<a@company.example>\r\nRCPT TO:<x@mail.example>\r\n",
	"EHLO c\r\nMAIL FROM:<a@company.example>\r\nRCPT TO:<x@mail.example>\r\nDATA\r\n",
	"EHLO c\r\nMAIL FROM:<a@company.example>\r\nRCPT TO:<x@mail.example>\r\nBDAT 5\r\nhello",
	"EHLO c\r\nMAIL FROM:<a@company.example>\r\nRCPT TO:<x@mail.example>\r\nBDAT 50 LAST\r\n",
}

var wellFormed = regexp.MustCompile(`^[2-5][0-9][0-9][ -][^\r\n\x00]*\r\n`)

// FuzzSession: whatever a client sends in whatever state, the session ends when
// the client does, says nothing but well-formed replies, and what reaches the
// upstream is free of bare line ends and was acknowledged.
func FuzzSession(f *testing.F) {
	for i := range states {
		for _, seed := range []string{"QUIT\r\n", ".\r\n", "A\r\n.\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n", "BDAT 3 LAST\r\nabc", "\x16\x03\x01", "A\r.\rB\r\n.\r\nRSET\r\n"} {
			f.Add(uint8(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, state uint8, octets string) {
		u := &fakeUpstream{extensions: allExtensions()}
		o := testOptions(t, u, &fakeReferrals{})
		o.Timeouts.Data = 20 * time.Millisecond
		proxy, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		said := converse(t, proxy, states[int(state)%len(states)]+octets)
		accepted := 0
		for rest := said; rest != ""; {
			line := wellFormed.FindString(rest)
			if line == "" {
				t.Fatalf("not a reply: %.80q in %q", rest, said)
			}
			if strings.Contains(line, "queued as") {
				accepted++
			}
			rest = rest[len(line):]
		}
		for _, d := range u.got() {
			if strings.ContainsAny(strings.ReplaceAll(body(t, d.message), "\r\n", ""), "\r\n") {
				t.Errorf("bare line end goes upstream: %q", d.message)
			}
		}
		if len(u.got()) != accepted || u.open != 0 || proxy.memory.lent.Load() != 0 {
			t.Errorf("%d delivered, %d acknowledged, %d open, %d bytes lent", len(u.got()), accepted, u.open, proxy.memory.lent.Load())
		}
	})
}

// converse sends octets to a session, ends the client's side and returns all
// that the session said.
func converse(t testing.TB, proxy *Proxy, octets string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	go func() {
		io.WriteString(conn, octets) // the session may be over before the end
		conn.(*net.TCPConn).CloseWrite()
	}()
	said, err := io.ReadAll(conn)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatalf("the session does not end; it said %q", said)
	}
	conn.Close()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return string(said)
}
