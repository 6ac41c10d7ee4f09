package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// state is a state of a session, with the octets that lead to it.
type state struct {
	before string
	tls    bool     // within TLS, after STARTTLS; who has not logged in may not send
	needs  int      // octets of a chunk that are missing: with fewer nothing is delivered
	seeds  []string // beside those for every state
}

const (
	toRCPT  = "MAIL FROM:<a@company.example>\r\nRCPT TO:<x@mail.example>\r\n"
	inClear = "EHLO c\r\n" + toRCPT
)

// loggedIn is what a client of withTLS says first.
var loggedIn = "EHLO c\r\nAUTH PLAIN " + plain("ats", "secret") + "\r\n"

// states are the states of a session.
var states = []state{
	{before: ""},
	{before: "EHLO c\r\n"},
	{before: "EHLO c\r\nMAIL FROM:<a@company.example>\r\n"},
	{before: inClear},
	{before: inClear + "DATA\r\n", seeds: inData},
	{before: inClear + "BDAT 5\r\nhello", seeds: betweenChunks},
	{before: inClear + "BDAT 50 LAST\r\n", needs: 50, seeds: inChunk},
	{before: inClear + "DATA\r\nSubject: x\r\n\r\nhalf a line", seeds: inData},
	{before: inClear + "DATA\r\nSubject: x\r\n\r\nline\r", seeds: inData},
	{before: inClear + "DATA\r\nSubject: x\r\n\r\nline\r\n.", seeds: inData},
	{before: inClear + "DATA\r\nSubject: x\r\n\r\nline\r\n.\r", seeds: inData},
	{before: inClear + "DATA\r\nbare\rCR\r\n", seeds: inData},
	{before: inClear + "BDAT 20\r\nhello", needs: 15, seeds: inChunk},
	{before: inClear + "BDAT 20 LAST\r\nhello\r", needs: 14, seeds: inChunk},
	{before: inClear + "BDAT 7\r\nbare\rCR", seeds: betweenChunks},
	{before: "EHLO c\r\nBDAT 20 LAST\r\n", needs: 20, seeds: inChunk},
	{before: "EHLO c\r\nSTARTTLS\r\n", seeds: []string{"\x16\x03\x01\x00\x05hello", "\x16\x03\x01\x00\x05hello" + strings.Repeat("NOOP\r\n", 1000)}},

	{before: "", tls: true, seeds: logins},
	{before: "EHLO c\r\n", tls: true, seeds: logins},
	{before: "EHLO c\r\nAUTH PLAIN\r\n", tls: true, seeds: responses},
	{before: "EHLO c\r\nAUTH LOGIN\r\n", tls: true, seeds: responses},
	{before: "EHLO c\r\nAUTH LOGIN\r\n" + b64("ats") + "\r\n", tls: true, seeds: responses},
	{before: "EHLO c\r\nAUTH PLAIN " + plain("ats", "wrong") + "\r\n", tls: true, seeds: logins},
	{before: loggedIn, tls: true, seeds: logins},
	{before: loggedIn + toRCPT, tls: true},
	{before: loggedIn + toRCPT + "DATA\r\nSubject: x\r\n\r\n", tls: true, seeds: inData},
	{before: loggedIn + toRCPT + "BDAT 5\r\nhello", tls: true, seeds: betweenChunks},
	{before: loggedIn + toRCPT + "BDAT 20 LAST\r\nhello", tls: true, needs: 15, seeds: inChunk},
}

var (
	everywhere = []string{"QUIT\r\n", ".\r\n", "A\r\n.\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n", "BDAT 3 LAST\r\nabc",
		"\x16\x03\x01", "A\r.\rB\r\n.\r\nRSET\r\n", "STARTTLS\r\nEHLO d\r\n", "NOOP\nRSET\r\r\n\x00\r\n"}
	inData        = []string{"\n.\n.\r\n", "\n.\r\n.\r\nNOOP\r\n", "\r.\r\r\n.\r\n", "..\r\n.\r\nMAIL FROM:<a@company.example>\r\n", "\r\n.\r\n.\r\n"}
	inChunk       = []string{"0123456789abcdefghijNOOP\r\n", "\r\n.\r\nRSET\r\nNOOP\r\nBDAT 0 LAST\r\n", "\r\r\n\n.\n" + strings.Repeat("x", 50), strings.Repeat("\r", 60)}
	betweenChunks = []string{"BDAT 0 LAST\r\n", "BDAT 4 LAST\r\n\r\n.\r", "DATA\r\n.\r\n", "RSET\r\nBDAT 2 LAST\r\n\r\n", "EHLO d\r\n" + toRCPT + "BDAT 2 LAST\r\n\r\n", "BDAT -1\r\n", "BDAT 1 LAST LAST\r\nx"}
	logins        = []string{"AUTH PLAIN " + plain("ats", "secret") + "\r\n" + toRCPT + "DATA\r\n.\r\n", "AUTH PLAIN =\r\n", "AUTH LOGIN " + b64("ats") + "\r\n*\r\n", "EHLO c\r\n" + toRCPT + "DATA\r\n.\r\n", "AUTH\r\nAUTH XOAUTH2 x\r\n"}
	responses     = []string{plain("ats", "secret") + "\r\n" + toRCPT + "BDAT 0 LAST\r\n", "*\r\n", "=\r\n", b64("ats") + "\r\n" + b64("secret") + "\r\n", b64("secret") + "\r\n", "!\r\nMAIL FROM:<a@company.example>\r\n", strings.Repeat("A", maxAuthLine+1) + "\r\n"}
)

var wellFormed = regexp.MustCompile(`^[2-5][0-9][0-9][ -][^\r\n\x00]*\r\n`)

// statusCode is what replies have in them, and TLS records have not.
var statusCode = regexp.MustCompile(`[2-5][0-9][0-9][ -][245]\.[0-9]\.[0-9]`)

// FuzzSession: whatever a client sends in whatever state, the session ends when
// the client does, says nothing but well-formed replies, and what reaches the
// upstream is free of bare line ends, was acknowledged, and came from a client
// that may send.
func FuzzSession(f *testing.F) {
	for i, s := range states {
		for _, seed := range append(everywhere[:len(everywhere):len(everywhere)], s.seeds...) {
			f.Add(uint8(i), seed)
		}
	}
	a := newAuthority(f)
	users := Options{Companies: make([]Company, 1)}
	withTLS(a)(&users, &rig{})
	f.Fuzz(func(t *testing.T, number uint8, octets string) {
		s := states[int(number)%len(states)]
		u := &fakeUpstream{extensions: allExtensions()}
		o := testOptions(t, u, &fakeReferrals{})
		o.TLS, o.Companies[0].Users = users.TLS, users.Companies[0].Users
		var config *tls.Config
		if s.tls {
			o.Companies[0].Networks, config = nil, a.clientConfig("")
		}
		o.Timeouts.Data = 20 * time.Millisecond
		proxy, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		said := converse(t, proxy, s.before+octets, config)
		accepted := acknowledged(t, said)
		for _, d := range u.got() {
			if strings.ContainsAny(strings.ReplaceAll(body(t, d.message), "\r\n", ""), "\r\n") {
				t.Errorf("bare line end goes upstream: %q", d.message)
			}
		}
		if len(u.got()) != accepted || u.open != 0 || proxy.memory.lent.Load() != 0 {
			t.Errorf("%d delivered, %d acknowledged, %d open, %d bytes lent", len(u.got()), accepted, u.open, proxy.memory.lent.Load())
		}
		if len(octets) < s.needs && accepted > 0 {
			t.Errorf("a torn chunk was delivered: %q", said)
		}
		if s.tls && accepted > 0 && !strings.Contains(said, "235 2.7.0 ") {
			t.Errorf("delivered for somebody who did not log in: %q", said)
		}
	})
}

// acknowledged checks what a session said, up to a handshake, and counts the
// messages it took.
func acknowledged(t *testing.T, said string) int {
	t.Helper()
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
		if strings.HasSuffix(line, "Ready to start TLS\r\n") {
			if statusCode.MatchString(rest) {
				t.Fatalf("in clear after STARTTLS: %q", rest)
			}
			return accepted
		}
	}
	return accepted
}

// converse sends octets to a session, within TLS after STARTTLS unless config is
// nil, ends the client's side and returns all that the session said from there.
func converse(t testing.TB, proxy *Proxy, octets string, config *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(ctx, l) }()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	conn := interface {
		io.ReadWriter
		CloseWrite() error
	}(tcp.(*net.TCPConn))
	if p := newPeer(t, tcp); config != nil {
		p.expect("220*")
		conn = p.startTLS(config).conn.(*tls.Conn)
	}
	go func() {
		io.WriteString(conn, octets) // the session may be over before the end
		conn.CloseWrite()
	}()
	said, err := io.ReadAll(conn)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatalf("the session does not end; it said %q", said)
	}
	tcp.Close()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return string(said)
}
