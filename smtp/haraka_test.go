package smtp

import (
	"net"
	netsmtp "net/smtp"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestHaraka puts Haraka, which answers only when the next server has, in front of
// the relay and behind it: the link arrives, and so does a refusal.
func TestHaraka(t *testing.T) {
	const mail = "Message-ID: <h@company.example>\r\nSubject: result\r\n\r\n.dots\r\n..\r\nunfortunately\r\n"
	arrived := func(t *testing.T, message string) {
		t.Helper()
		if !strings.Contains(message, "\r\n.dots\r\n..\r\nunfortunately\r\n") || linkOf(message) == "" {
			t.Errorf("delivered %q", message)
		}
	}
	portOf := func(addr string) string {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Run("client", func(t *testing.T) {
		r := newRig(t)
		haraka := smtptest.StartHaraka(t, portOf(r.addr))
		send := func() error {
			return netsmtp.SendMail(haraka, nil, "hr@company.example", []string{"candidate@mail.example"}, []byte(mail))
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		got := r.upstream.got()
		if len(got) != 1 {
			t.Fatalf("%d messages arrived", len(got))
		}
		arrived(t, body(t, got[0].message))
		r.upstream.setVerdicts(map[string]Reply{"<candidate@mail.example>": say(554, "5.7.1 spam")})
		if err := send(); err == nil || !strings.HasPrefix(err.Error(), "5") {
			t.Errorf("the refusal becomes %v", err)
		}
	})
	t.Run("upstream", func(t *testing.T) {
		sink := smtptest.NewUpstream(t, smtptest.Options{})
		haraka := smtptest.StartHaraka(t, portOf(sink.Addr()))
		u, err := NewUpstream(UpstreamOptions{Servers: []Server{serverAt(t, haraka, Plaintext)}, Hostname: "relay.example"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		p := newRig(t, realUpstream(u)).dial()
		dotted := strings.ReplaceAll(mail, "\r\n.", "\r\n..")
		if got := p.deliver(dotted); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("the relay says %q", got)
		}
		if got := sink.Messages(); len(got) != 1 {
			t.Fatalf("%d messages arrived", len(got))
		}
		arrived(t, sink.Messages()[0].Body)
		sink.Set(smtptest.At(smtptest.FinalDot), smtptest.Say("554 5.7.1 spam"))
		if got := p.deliver(dotted); got[0] != '5' {
			t.Errorf("the refusal becomes %q", got)
		}
		p.talk("C: QUIT", "S: 221*")
	})
}
