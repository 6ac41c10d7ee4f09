package smtp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// yardstick is go-smtp's server with a backend that takes everything.
type yardstick struct{ messages chan string }

func (y *yardstick) NewSession(*gosmtp.Conn) (gosmtp.Session, error) {
	return &yardstickSession{y: y}, nil
}

type yardstickSession struct{ y *yardstick }

func (*yardstickSession) Reset()                                 {}
func (*yardstickSession) Logout() error                          { return nil }
func (*yardstickSession) Mail(string, *gosmtp.MailOptions) error { return nil }
func (*yardstickSession) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (s *yardstickSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		s.y.messages <- string(b)
	}
	return err
}

// TestDifferential plays dialogues with our loop and with go-smtp's server:
// where the standard leaves no choice, both answer with the same codes and take
// the same messages.
func TestDifferential(t *testing.T) {
	const open = "EHLO c\r\nMAIL FROM:<a@company.example>\r\nRCPT TO:<x@mail.example>\r\n"
	for _, tc := range []struct{ name, octets string }{
		{"greeting and farewell", "EHLO c\r\nQUIT\r\n"},
		{"HELO", "HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n"},
		{"message", open + "DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n"},
		{"dots", open + "DATA\r\n..\r\n...a\r\n.b\r\n.\r\nQUIT\r\n"},
		{"empty message", open + "DATA\r\n.\r\nQUIT\r\n"},
		{"two messages", open + "DATA\r\nA\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nB\r\n.\r\nQUIT\r\n"},
		{"chunks", open + "BDAT 3\r\nA\r\nBDAT 6 LAST\r\n.\r\nB\r\nQUIT\r\n"},
		{"LF . LF is content", open + "DATA\r\nA\r\n\n.\nB\r\n.\r\nQUIT\r\n"},
		{"LF ends a command", "EHLO c\nNOOP\nQUIT\n"},
		{"VRFY", "EHLO c\r\nVRFY a\r\nQUIT\r\n"},
		{"RSET", open + "RSET\r\nQUIT\r\n"},
		{"RCPT without MAIL", "EHLO c\r\nQUIT\r\n"},
		{"BDAT LAST of nothing", open + "BDAT 3\r\nA\r\nBDAT 0 LAST\r\nQUIT\r\n"},
		{"null sender", "EHLO c\r\nMAIL FROM:<> SIZE=10\r\nRCPT TO:<c@d>\r\nDATA\r\nA\r\n.\r\nQUIT\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := &fakeUpstream{extensions: allExtensions()}
			proxy, err := New(testOptions(t, u, &fakeReferrals{}))
			if err != nil {
				t.Fatal(err)
			}
			ours := codes(converse(t, proxy, tc.octets, nil))
			var messages []string
			for _, d := range u.got() {
				messages = append(messages, body(t, d.message))
			}
			said, taken := converseGoSMTP(t, tc.octets)
			if theirs := codes(said); ours != theirs {
				t.Errorf("we answer %s, go-smtp %s", ours, theirs)
			}
			for i := range taken {
				taken[i] = strings.ReplaceAll(strings.ReplaceAll(taken[i], "\r\n", "\n"), "\n", "\r\n") // we repair bare LF
			}
			if fmt.Sprintf("%q", messages) != fmt.Sprintf("%q", taken) {
				t.Errorf("we take %q, go-smtp %q", messages, taken)
			}
		})
	}
}

// codes lists the reply codes of what a server said.
func codes(said string) string {
	var all []string
	for s := bufio.NewScanner(strings.NewReader(said)); s.Scan(); {
		if line := s.Text(); len(line) >= 4 && line[3] == ' ' {
			all = append(all, line[:3])
		}
	}
	return strings.Join(all, " ")
}

func converseGoSMTP(t *testing.T, octets string) (said string, taken []string) {
	y := &yardstick{make(chan string, 10)}
	s := gosmtp.NewServer(y)
	s.Domain, s.EnableSMTPUTF8, s.ReadTimeout = "relay.example", true, patience
	s.ErrorLog = quietLog{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, octets)
	var b bytes.Buffer
	io.Copy(&b, conn)
	conn.Close()
	s.Close()
	<-done
	close(y.messages)
	for m := range y.messages {
		taken = append(taken, m)
	}
	return b.String(), taken
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}
