package smtp

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// leave ends the client's side of a connection in one of three ways. A
// close_notify ends TLS and leaves TCP as it is.
func (p *peer) leave(how string) {
	p.t.Helper()
	raw := p.conn
	if encrypted, ok := p.conn.(*tls.Conn); ok {
		raw = encrypted.NetConn()
	}
	tcp := raw.(*net.TCPConn)
	var err error
	switch how {
	case "close_notify":
		err = p.conn.(*tls.Conn).CloseWrite()
	case "FIN":
		err = tcp.CloseWrite()
	case "RST":
		if err = tcp.SetLinger(0); err == nil {
			err = tcp.Close()
		}
	}
	if err != nil {
		p.t.Fatalf("leave by %s: %v", how, err)
	}
}

// TestTornEverywhere cuts a message through every door, in every way, at every
// place: nothing of it reaches the upstream as a message, and not as a torn one.
func TestTornEverywhere(t *testing.T) {
	a := newAuthority(t)
	doors := map[string]func(r *rig) *peer{
		"plaintext":    func(r *rig) *peer { return r.dial() },
		"STARTTLS":     func(r *rig) *peer { return r.dial().startTLS(a.clientConfig("")) },
		"implicit TLS": func(r *rig) *peer { return r.dialTLS(a.clientConfig("")) },
	}
	places := map[string]string{
		"in mid-body":         "DATA\r\n" + plainMail,
		"before the last LF":  "DATA\r\n" + plainMail + ".\r",
		"in a chunk":          "BDAT 1000\r\n" + plainMail,
		"between chunks":      "BDAT 5\r\nhello",
		"in the last chunk":   "BDAT 1000 LAST\r\n" + plainMail,
		"one octet too early": "BDAT 5\r\nhelloBDAT 3 LAST\r\nab",
		"in the command":      "BDAT 5\r\nhelloBDAT 0 LA",
	}
	for door, dial := range doors {
		for _, how := range []string{"FIN", "RST", "close_notify"} {
			if how == "close_notify" && door == "plaintext" {
				continue
			}
			for place, octets := range places {
				t.Run(door+"/"+how+"/"+place, func(t *testing.T) {
					t.Parallel()
					up := smtptest.NewUpstream(t, smtptest.Options{})
					r := newRig(t, withTLS(a), behind(Door{ImplicitTLS: door == "implicit TLS"}), realUpstream(newPool(t, nil, up)), func(o *Options, _ *rig) {
						o.Companies[0].Networks = testOptions(t, nil, nil).Companies[0].Networks
					})
					p := dial(r)
					p.envelope()
					p.send(octets)
					p.leave(how)
					r.stop() // returns when the session is through
					if err := <-r.done; err != nil {
						t.Fatal(err)
					}
					r.done <- nil
					if whole, torn := up.Messages(), up.Torn(); len(whole)+len(torn) != 0 {
						t.Errorf("the upstream got %+v and %+v", whole, torn)
					}
				})
			}
		}
	}
}

// TestRequireTLS: the wish is offered within TLS alone, where the upstream has it,
// and goes on as it came (RFC 8689).
func TestRequireTLS(t *testing.T) {
	a, ca := newAuthority(t), smtptest.NewAuthority(t)
	for _, tt := range []struct {
		name     string
		upstream []string
		secure   bool // towards the upstream
		offered  bool
	}{
		{"upstream has it", append(smtptest.Extensions(), "REQUIRETLS"), true, true},
		{"upstream has it not", nil, true, false},
		{"upstream says so in clear", append(smtptest.Extensions(), "REQUIRETLS"), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{Extensions: tt.upstream, TLS: ca.Server(t, "127.0.0.1")})
			u := newPool(t, func(o *UpstreamOptions) {
				if o.Roots = ca.Pool(); tt.secure {
					o.Servers[0].Security = VerifiedSTARTTLS
				}
			}, up)
			r := newRig(t, withTLS(a), realUpstream(u), func(o *Options, _ *rig) { o.Companies[0].Networks = testOptions(t, nil, nil).Companies[0].Networks })
			p := r.dial()
			p.send("EHLO c\r\n")
			if got := p.reply(); strings.Contains(got, "REQUIRETLS") {
				t.Errorf("offered in clear: %q", got)
			}
			p.talk("C: MAIL FROM:<hr@company.example> REQUIRETLS", "S: 555*")
			p = p.startTLS(a.clientConfig(""))
			p.send("EHLO c\r\n")
			if got := p.reply(); strings.Contains(got, "REQUIRETLS") != tt.offered {
				t.Errorf("EHLO says %q", got)
			}
			if !tt.offered {
				p.talk("C: MAIL FROM:<hr@company.example> REQUIRETLS", "S: 555*")
				return
			}
			p.talk("C: MAIL FROM:<hr@company.example> REQUIRETLS=1", "S: 501*", "C: MAIL FROM:<hr@company.example> REQUIRETLS", "S: 250*")
			if got := up.Commands(); got[len(got)-1] != "MAIL FROM:<hr@company.example> REQUIRETLS" {
				t.Errorf("upstream was told %q", got)
			}
		})
	}
}

// TestLimits: a client hears the smaller limits, and the pool keeps to the
// upstream's number of messages on one connection (RFC 9422).
func TestLimits(t *testing.T) {
	for _, tt := range []struct{ own, theirs, want string }{
		{"RCPTMAX=1000", "", "RCPTMAX=1000"},
		{"RCPTMAX=1000", "MAILMAX=2 RCPTMAX=50 RCPTDOMAINMAX=3", "RCPTMAX=50 RCPTDOMAINMAX=3"},
		{"RCPTMAX=10", "RCPTMAX=50", "RCPTMAX=10"},
		{"RCPTMAX=10 RCPTDOMAINMAX=3", "rcptdomainmax=2", "RCPTMAX=10 RCPTDOMAINMAX=2"},
		{"RCPTMAX=10", "RCPTMAX=0 RCPTDOMAINMAX=many X", "RCPTMAX=10"},
	} {
		if got := narrowed(tt.own, tt.theirs); got != tt.want {
			t.Errorf("narrowed(%q, %q) = %q, want %q", tt.own, tt.theirs, got, tt.want)
		}
	}
	up := smtptest.NewUpstream(t, smtptest.Options{Extensions: append(smtptest.Extensions(), "LIMITS MAILMAX=2 RCPTMAX=50")})
	u := newPool(t, nil, up)
	for range 4 {
		mustCarry(t, u)
	}
	if got := up.Connections(); got != 2 {
		t.Errorf("4 messages took %d connections, want 2 with 2 messages each", got)
	}
}
