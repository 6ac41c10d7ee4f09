package smtp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestAbortedBDAT: a transfer by chunks that is given up leaves nothing behind:
// the next transaction has its own message and its own verdict.
func TestAbortedBDAT(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string // give up what was begun
	}{
		{"RSET", []string{"C: RSET", "S: 250 2.0.0 Reset"}},
		{"EHLO", []string{"C: EHLO again", "S: 250*"}},
		{"bare CR in the next chunk", []string{"C: BDAT 5", "C: a\rb", "S: 550 5.6.11*"}},
		{"too large", []string{"C: BDAT 99999999", "S: 552*"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			p := r.dial()
			p.envelope()
			p.send("BDAT 7\r\ngiven\r\n")
			p.expect("250 2.0.0 7 octets received")
			p.talk(tc.lines...)
			if tc.name == "too large" {
				p.closed() // its octets would be taken for commands
				p = r.dial()
			}
			p.envelope()
			p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(plainMail), plainMail))
			p.talk("S: 250 2.0.0 Ok: queued as ABC123", "C: NOOP", "S: 250 2.0.0 OK", "C: QUIT", "S: 221*")
			if got := r.upstream.got(); len(got) != 1 || body(t, got[0].message) != plainMail {
				t.Errorf("delivered %+v, want the second message as it was sent", got)
			}
		})
	}
}

// TestRejectBareNewlines: where the site asks for it, neither a bare LF nor a
// bare CR passes, by DATA or by BDAT, and the connection goes on.
func TestRejectBareNewlines(t *testing.T) {
	for name, text := range map[string]string{"LF": "a\nb\r\n", "CR": "a\rb\r\n", "LF . LF": "a\n.\nb\r\n"} {
		for _, by := range []string{"DATA", "BDAT"} {
			t.Run(by+" "+name, func(t *testing.T) {
				r := newRig(t, func(o *Options, _ *rig) { o.RejectBareLF = true })
				p := r.dial()
				p.envelope()
				if by == "DATA" {
					p.talk("C: DATA", "S: 354*")
					p.send(text + ".\r\n")
				} else {
					p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text))
				}
				p.talk("S: 550 5.6.11 Message contains a bare "+name[:2], "C: NOOP", "S: 250*", "C: QUIT", "S: 221*")
				if got := r.upstream.got(); len(got) != 0 {
					t.Errorf("delivered %+v", got)
				}
			})
		}
	}
}

// TestTroubleIsNamed: what the client hears in general terms one line of the log
// says in full.
func TestTroubleIsNamed(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{errUnreachable, "451 4.4.1 Next server cannot be reached"},
		{errUntrusted, "451 4.7.5 Next server cannot be verified"},
		{errRefusedLogin, "451 4.7.0 Next server refused our login"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			r := newRig(t, func(_ *Options, r *rig) {
				r.upstream.begin = func(string, string) (Reply, error) { return Reply{}, fmt.Errorf("mx.example: %w", tc.err) }
			})
			p := r.dial()
			p.talk("C: EHLO c", "S: 250*", "C: MAIL FROM:<hr@company.example>", "S: "+tc.want, "C: QUIT", "S: 221*")
			if n := strings.Count(r.logs.String(), "mx.example: "+tc.err.Error()); n != 1 {
				t.Errorf("%d lines name the trouble, want one:\n%s", n, r.logs)
			}
		})
	}
}

// TestCompanyOf: login, then certificate, then the smallest network say which
// company a client sends for.
func TestCompanyOf(t *testing.T) {
	o := testOptions(t, &fakeUpstream{}, &fakeReferrals{})
	company := func(id string) Company {
		return Company{ID: id, upstream: &fakeUpstream{}, editor: fakeEditor{}}
	}
	wide, narrow, certified, user := company("wide"), company("narrow"), company("certified"), company("user")
	wide.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	narrow.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")}
	certified.ClientNames = []string{"mail.company.example"}
	user.Users = []User{{Name: "ats"}}
	o.Companies = []Company{wide, narrow, certified, user}
	proxy, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"MAIL.company.example"}
	for _, tc := range []struct {
		name   string
		client client
		want   string
		err    error
	}{
		{"network", client{addr: netip.MustParseAddr("192.0.2.1")}, "wide", nil},
		{"smallest network", client{addr: netip.MustParseAddr("192.0.2.200")}, "narrow", nil},
		{"certificate before network", client{addr: netip.MustParseAddr("192.0.2.1"), names: names}, "certified", nil},
		{"login before all", client{addr: netip.MustParseAddr("192.0.2.1"), names: names, user: "ats"}, "user", nil},
		{"login of a user that was removed", client{addr: netip.MustParseAddr("192.0.2.1"), user: "gone"}, "", errNotAllowed},
		{"stranger", client{addr: netip.MustParseAddr("198.51.100.1")}, "", errAuthNeeded},
		{"certificate of another", client{addr: netip.MustParseAddr("198.51.100.1"), names: []string{"x.example"}}, "", errAuthNeeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := proxy.directory.Load().lookup(tc.client)
			if err != tc.err || err == nil && l.company.ID != tc.want {
				t.Errorf("got %+v, %v, want %q, %v", l.company, err, tc.want, tc.err)
			}
		})
	}
}
