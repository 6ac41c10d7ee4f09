package smtp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestDialogues plays short conversations. "C! " sends without a line end.
func TestDialogues(t *testing.T) {
	hello := []string{"C: EHLO c", "S: 250*"}
	mail := append(hello, "C: MAIL FROM:<hr@company.example>", "S: 250*")
	rcpt := append(mail, "C: RCPT TO:<x@mail.example>", "S: 250*")
	for _, tc := range []struct {
		name  string
		after []string // what comes first
		lines []string
		ends  bool // the connection is closed then
	}{
		{"HELO offers nothing", nil, []string{"C: HELO c", "S: 250 relay.example", "C: MAIL FROM:<a@b> SIZE=5", "S: 555 5.5.4 Parameter not supported"}, false},
		{"EHLO without a name", nil, []string{"C: EHLO", "S: 501*"}, false},
		{"lower case", nil, []string{"C: ehlo c", "S: 250*", "C: mail from:<a@b>", "S: 250*"}, false},
		{"bare LF ends a command", nil, []string{"C! NOOP\n", "S: 250*"}, false},
		{"MAIL before EHLO", nil, []string{"C: MAIL FROM:<a@b>", "S: 503 5.5.1 EHLO first"}, false},
		{"second MAIL", mail, []string{"C: MAIL FROM:<a@b>", "S: 503 5.5.1 One transaction at a time", "C: RCPT TO:<x@y>", "S: 250*"}, false},
		{"RCPT before MAIL", hello, []string{"C: RCPT TO:<a@b>", "S: 503*"}, false},
		{"DATA before MAIL", hello, []string{"C: DATA", "S: 503*"}, false},
		{"DATA before RCPT", mail, []string{"C: DATA", "S: 554 5.5.1 No valid recipients"}, false},
		{"DATA with argument", rcpt, []string{"C: DATA now", "S: 501*"}, false},
		{"RSET ends the transaction", rcpt, []string{"C: RSET", "S: 250*", "C: DATA", "S: 503*"}, false},
		{"EHLO ends the transaction", rcpt, []string{"C: EHLO d", "S: 250*", "C: DATA", "S: 503*"}, false},
		{"VRFY tells nothing", hello, []string{"C: VRFY root", "S: 252 2.5.0 Cannot verify, send some mail"}, false},
		{"EXPN", hello, []string{"C: EXPN list", "S: 502*"}, false},
		{"HELP", nil, []string{"C: HELP", "S: 214*"}, false},
		{"unknown commands", nil, []string{"C: XCLIENT ADDR=1.2.3.4", "S: 500*", "C: LHLO x", "S: 500*", "C: ", "S: 500*", "C: TURN", "S: 500*"}, false},
		{"QUIT", rcpt, []string{"C: QUIT", "S: 221 2.0.0 Bye"}, true},
		{"browser", nil, []string{"C: POST / HTTP/1.1", "S: 421 4.7.0 This is a mail server"}, true},
		{"TLS where none is expected", nil, []string{"C: \x16\x03\x01\x02\x00\x01"}, true},
		{"STARTTLS not offered", hello, []string{"C: STARTTLS", "S: 503*"}, false},
		{"AUTH not offered", hello, []string{"C: AUTH PLAIN AGEAYg==", "S: 502*"}, false},
		{"null recipient", mail, []string{"C: RCPT TO:<>", "S: 501 5.1.3 Malformed address"}, false},
		{"malformed sender", hello, []string{"C: MAIL FROM:<a b@c>", "S: 501 5.1.7 Malformed address"}, false},
		{"too large by SIZE", hello, []string{"C: MAIL FROM:<a@b> SIZE=1000001", "S: 552 5.3.4 Message too large"}, false},
		{"exactly the limit by SIZE", hello, []string{"C: MAIL FROM:<a@b> SIZE=1000000", "S: 250*"}, false},
		{"SIZE over 64 bits", hello, []string{"C: MAIL FROM:<a@b> SIZE=99999999999999999999", "S: 552*"}, false},
		{"SIZE is no number", hello, []string{"C: MAIL FROM:<a@b> SIZE=x", "S: 501 5.5.4*"}, false},
		{"BINARYMIME", hello, []string{"C: MAIL FROM:<a@b> BODY=BINARYMIME", "S: 555*"}, false},
		{"BODY nonsense", hello, []string{"C: MAIL FROM:<a@b> BODY=9BIT", "S: 501*"}, false},
		{"SMTPUTF8 with value", hello, []string{"C: MAIL FROM:<a@b> SMTPUTF8=1", "S: 501*"}, false},
		{"UTF-8 without SMTPUTF8", hello, []string{"C: MAIL FROM:<太郎@b>", "S: 553 5.6.7 Address needs SMTPUTF8"}, false},
		{"UTF-8 recipient without SMTPUTF8", mail, []string{"C: RCPT TO:<太郎@b>", "S: 553 5.6.7*"}, false},
		{"UTF-8 with SMTPUTF8", hello, []string{"C: MAIL FROM:<太郎@b> SMTPUTF8", "S: 250*", "C: RCPT TO:<花子@c>", "S: 250*"}, false},
		{"parameter not offered", hello, []string{"C: MAIL FROM:<a@b> BY=120;R", "S: 555*", "C: MAIL FROM:<a@b> HOLDFOR=9", "S: 555*", "C: MAIL FROM:<a@b> NOTIFY=NEVER", "S: 555*"}, false},
		{"postmaster", mail, []string{"C: RCPT TO:<postmaster>", "S: 250*"}, false},
		{"pipelined", nil, []string{"C! EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\n", "S: 250*", "S: 250*", "S: 250*", "S: 250*", "S: 354*",
			"C! " + plainMail + ".\r\nMAIL FROM:<a@b>\r\nRSET\r\nQUIT\r\n", "S: 250 2.0.0 Ok*", "S: 250*", "S: 250*", "S: 221*"}, true},
		{"pipelined without recipients", nil, []string{"C! EHLO c\r\nMAIL FROM:<a@b>\r\nDATA\r\nRSET\r\n", "S: 250*", "S: 250*", "S: 554*", "S: 250*"}, false},
		{"bare CR", rcpt, []string{"C: DATA", "S: 354*", "C! A\rB\r\n.\r\n", "S: 550 5.6.11 Message contains a bare CR", "C: NOOP", "S: 250*"}, false},
		{"CR CRLF.CRLF", rcpt, []string{"C: DATA", "S: 354*", "C! A\r\r\n.\r\n", "S: 550 5.6.11*", "C: NOOP", "S: 250*"}, false},
		{"too large", rcpt, []string{"C: DATA", "S: 354*", "C! " + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 1001) + ".\r\n", "S: 552 5.3.4*", "C: NOOP", "S: 250*"}, false},
		{"exactly the limit", rcpt, []string{"C: DATA", "S: 354*", "C! " + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 1000) + ".\r\n", "S: 250*"}, false},
		{"long line in DATA", rcpt, []string{"C: DATA", "S: 354*", "C! " + strings.Repeat("x", 200000) + "\r\n.\r\n", "S: 250*"}, false},
		{"long command", hello, []string{"C: NOOP " + strings.Repeat("x", 9000), "S: 500 5.5.2 Line too long"}, true},
		{"endless command", hello, []string{"C! " + strings.Repeat("x", 20000), "S: 500 5.5.2 Line too long"}, true},
		{"BDAT", rcpt, []string{"C! BDAT 5\r\nA\r\n.\r", "S: 250 2.0.0 5 octets received", "C! BDAT 4 LAST\r\n\nB\r\n", "S: 250 2.0.0 Ok: queued as ABC123", "C: NOOP", "S: 250*"}, false},
		{"BDAT LAST of nothing", rcpt, []string{"C! BDAT 3\r\nA\r\n", "S: 250*", "C: BDAT 0 LAST", "S: 250 2.0.0 Ok*"}, false},
		{"BDAT without transaction eats its octets", hello, []string{"C! BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "S: 503*", "S: 250*"}, false},
		{"BDAT without recipients eats its octets", mail, []string{"C! BDAT 6\r\nQUIT\r\nNOOP\r\n", "S: 554*", "S: 250*"}, false},
		{"BDAT then DATA", rcpt, []string{"C! BDAT 3\r\nA\r\n", "S: 250*", "C: DATA", "S: 503*"}, false},
		{"BDAT then RSET", rcpt, []string{"C! BDAT 3\r\nA\r\n", "S: 250*", "C: RSET", "S: 250*", "C! BDAT 3 LAST\r\nB\r\n", "S: 503*"}, false},
		{"BDAT with bare CR", rcpt, []string{"C! BDAT 3\r\nA\rB", "S: 550 5.6.11*", "C! BDAT 1 LAST\r\nC", "S: 503*", "C: NOOP", "S: 250*"}, false},
		{"BDAT that ends in CR", rcpt, []string{"C! BDAT 2 LAST\r\nA\r", "S: 550 5.6.11*"}, false},
		{"BDAT too large in pieces", rcpt, []string{"C! BDAT 600000\r\n" + strings.Repeat("x", 600000), "S: 250*", "C! BDAT 600000 LAST\r\n" + strings.Repeat("x", 600000), "S: 552*", "C: NOOP", "S: 250*"}, false},
		{"BDAT far too large", rcpt, []string{"C: BDAT 999999999999999999 LAST", "S: 552*"}, true},
		{"BDAT malformed", rcpt, []string{"C: BDAT -1", "S: 501*"}, true},
		{"BDAT over 64 bits", rcpt, []string{"C: BDAT 99999999999999999999", "S: 501*"}, true},
		{"too many errors", nil, append(repeat([]string{"C: FOO", "S: 500*"}, 20), "S: 421 4.7.0 Too many errors"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			p := r.dial()
			for _, line := range append(tc.after[:len(tc.after):len(tc.after)], tc.lines...) {
				if text, raw := strings.CutPrefix(line, "C! "); raw {
					go io.WriteString(p.conn, text) // the answer may come before the last octet is read
				} else {
					p.talk(line)
				}
			}
			if tc.ends {
				p.closed()
			}
		})
	}
}

func repeat(lines []string, n int) []string {
	var all []string
	for range n {
		all = append(all, lines...)
	}
	return all
}

// TestVerbatim: what the client wrote in MAIL and RCPT reaches the upstream as
// it is.
func TestVerbatim(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*",
		`C: MAIL FROM:<"a b\"c"@company.example> SIZE=100 body=8BitMime AUTH=<> RET=HDRS ENVID=QQ314159`, "S: 250*",
		`C: RCPT TO:<"x@y"@mail.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+40y@mail.example`, "S: 250*",
		"C: DATA", "S: 354*")
	p.send(plainMail + ".\r\n")
	p.expect("250*")
	d := r.upstream.got()[0]
	if want := `<"a b\"c"@company.example>`; d.from != want {
		t.Errorf("MAIL path %s, want %s", d.from, want)
	}
	if want := "SIZE=100 body=8BitMime AUTH=<> RET=HDRS ENVID=QQ314159"; d.params != want {
		t.Errorf("MAIL parameters %s, want %s", d.params, want)
	}
	if want := `<"x@y"@mail.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+40y@mail.example`; len(d.to) != 1 || d.to[0] != want {
		t.Errorf("RCPT %q, want %q", d.to, want)
	}
}

// TestUpstreamWords: each answer of the upstream is the client's answer.
func TestUpstreamWords(t *testing.T) {
	r := newRig(t, func(_ *Options, r *rig) {
		r.upstream.begin = func(path, _ string) (Reply, error) {
			if path == "<spam@company.example>" {
				return Reply{550, []string{"5.7.1 We do not", "5.7.1 like you"}}, nil
			}
			return say(250, "2.1.0 fine"), nil
		}
		r.upstream.rcpt = func(path, _ string) (Reply, error) {
			switch path {
			case "<full@mail.example>":
				return say(452, "4.2.2 mailbox full"), nil
			case "<gone@mail.example>":
				return say(550, "5.1.1 no such user"), nil
			case "<strange@mail.example>":
				return say(354, "go ahead"), nil
			}
			return say(251, "2.1.5 will forward"), nil
		}
	})
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*",
		"C: MAIL FROM:<spam@company.example>", "S: 550-5.7.1 We do not\r\n550 5.7.1 like you",
		"C: MAIL FROM:<hr@company.example>", "S: 250 2.1.0 fine",
		"C: RCPT TO:<full@mail.example>", "S: 452 4.2.2 mailbox full",
		"C: RCPT TO:<gone@mail.example>", "S: 550 5.1.1 no such user",
		"C: RCPT TO:<strange@mail.example>", "S: 451 4.3.0 Unexpected answer from the next server",
		"C: DATA", "S: 554 5.5.1 No valid recipients",
		"C: RCPT TO:<ok@mail.example>", "S: 251 2.1.5 will forward",
		"C: DATA", "S: 354*")
	p.send(rejectionMail + ".\r\n")
	p.expect("250*")
	if d := r.upstream.got()[0]; len(d.to) != 1 || !strings.Contains(d.message, "https://jobs.example/r/") {
		t.Errorf("delivered %+v: the refused recipients are no recipients, the other is the candidate", d)
	}
}

// TestUpstream421: a 421 is handed on, and then the connection is closed as it
// says.
func TestUpstream421(t *testing.T) {
	r := newRig(t, func(_ *Options, r *rig) {
		r.upstream.begin = func(string, string) (Reply, error) { return say(421, "4.3.2 shutting down"), nil }
	})
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*", "C: MAIL FROM:<a@b>", "S: 421 4.3.2 shutting down")
	p.closed()
}

// TestTorn: a transfer that does not reach its end is never forwarded, and
// nothing of it is taken for a command.
func TestTorn(t *testing.T) {
	for _, tc := range []struct{ name, sent string }{
		{"DATA", "DATA\r\n" + plainMail},
		{"DATA before the last LF", "DATA\r\n" + plainMail + ".\r"},
		{"DATA ending in another dot", "DATA\r\n" + plainMail + "\n.\n"},
		{"BDAT LAST", "BDAT 1000 LAST\r\n" + plainMail},
		{"BDAT between chunks", "BDAT 5\r\nhello"},
		{"BDAT second chunk", "BDAT 5\r\nhelloBDAT 5 LAST\r\nhell"},
	} {
		for _, how := range []string{"FIN", "RST"} {
			t.Run(tc.name+" by "+how, func(t *testing.T) {
				r := newRig(t)
				p := r.dial()
				p.envelope()
				p.send(tc.sent)
				tcp := p.conn.(*net.TCPConn)
				if how == "RST" {
					if err := tcp.SetLinger(0); err != nil {
						t.Fatal(err)
					}
					tcp.Close()
				} else if err := tcp.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if how == "FIN" {
					rest, _ := io.ReadAll(p.in)
					if strings.Contains(string(rest), "\r\n2") && !strings.Contains(string(rest), "octets received") {
						t.Errorf("the client was told %q", rest)
					}
				}
				r.stop()
				if err := <-r.done; err != nil {
					t.Fatal(err)
				}
				r.done <- nil
				if got := r.upstream.got(); len(got) != 0 {
					t.Errorf("torn message was forwarded: %+v", got)
				}
			})
		}
	}
}

// TestNotAllowed: nobody but the allowed networks gets anything through.
func TestNotAllowed(t *testing.T) {
	r := newRig(t, func(o *Options, _ *rig) {
		o.Companies[0].Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*", "C: MAIL FROM:<hr@company.example>", "S: 550 5.7.1 Not allowed to send through this relay",
		"C: RCPT TO:<x@y>", "S: 503*")
}

// TestExtensionsUnknown: with no upstream in reach the client is promised only
// what is ours, and hears 451 at MAIL.
func TestExtensionsUnknown(t *testing.T) {
	r := newRig(t, func(_ *Options, r *rig) {
		r.upstream.extensions, r.upstream.extensionsErr = nil, errUnreachable
		r.upstream.begin = func(string, string) (Reply, error) { return Reply{}, errUnreachable }
	})
	p := r.dial()
	p.talk("C: EHLO c", "S: 250-relay.example\r\n250-CHUNKING\r\n250-LIMITS RCPTMAX=1000\r\n250-PIPELINING\r\n250 SIZE 50000000",
		"C: MAIL FROM:<a@b>", "S: 451 4.4.1 Next server cannot be reached", "C: NOOP", "S: 250*")
}

// TestLostUpstream: when the transaction upstream breaks, each later step hears
// so, and the next transaction is a new one.
func TestLostUpstream(t *testing.T) {
	broken := true
	r := newRig(t, func(_ *Options, r *rig) {
		r.upstream.rcpt = func(string, string) (Reply, error) {
			if broken {
				return Reply{}, errLost
			}
			return say(250, "2.1.5 OK"), nil
		}
	})
	p := r.dial()
	lost := "S: 451 4.4.2 Connection to the next server lost"
	p.talk("C: EHLO c", "S: 250*", "C: MAIL FROM:<a@b>", "S: 250*", "C: RCPT TO:<x@y>", lost, "C: RCPT TO:<z@y>", lost, "C: DATA", lost,
		"C: RSET", "S: 250*")
	broken = false
	p.talk("C: MAIL FROM:<a@b>", "S: 250*", "C: RCPT TO:<x@y>", "S: 250*", "C: DATA", "S: 354*")
	p.send(plainMail + ".\r\n")
	p.expect("250*")
}

// TestFailOpen: whatever breaks between inspecting and proving, by error or by
// panic, the original goes on, the client hears the upstream's word, and no
// referral stays behind.
func TestFailOpen(t *testing.T) {
	for _, step := range []string{"inspect", "decide", "record", "splice", "prove"} {
		for _, kind := range []string{"error", "panic"} {
			t.Run(step+" "+kind, func(t *testing.T) {
				fault := func(at string) error {
					switch {
					case at != step:
						return nil
					case kind == "panic":
						panic("secret of candidate@mail.example")
					}
					return errors.New("fault of ours")
				}
				r := newRig(t, func(o *Options, r *rig) {
					o.Companies[0].editor = fakeEditor{fault}
					r.referrals.fault = func() error { return fault("record") }
				})
				p := r.dial()
				p.envelope()
				p.talk("C: DATA", "S: 354*")
				p.send(rejectionMail + ".\r\n")
				p.talk("S: 250 2.0.0 Ok: queued as ABC123", "C: QUIT", "S: 221*")
				p.closed()
				if got := body(t, r.upstream.got()[0].message); got != rejectionMail {
					t.Errorf("delivered %q, want the original", got)
				}
				if n := r.counter("careerrelay_fail_open_total", step); n != 1 {
					t.Errorf("fail_open_total{stage=%q} = %v, want 1", step, n)
				}
				want := map[string]string{"record": "offer", "splice": "offer void", "prove": "offer void"}
				if did := r.referrals.did(); did != want[step] {
					t.Errorf("steps of the referral: %q, want %q", did, want[step])
				}
				if strings.Contains(r.logs.String(), "candidate@") {
					t.Errorf("the log holds an address:\n%s", r.logs)
				}
			})
		}
	}
}

// TestSettle: what the upstream says at the end decides about the referral.
func TestSettle(t *testing.T) {
	for _, tc := range []struct {
		name        string
		reply       Reply
		err         error
		want, steps string
	}{
		{"2xx", say(250, "2.0.0 queued as 4XYZ"), nil, "250 2.0.0 queued as 4XYZ", "offer confirm"},
		{"4xx", say(451, "4.7.1 greylisted"), nil, "451 4.7.1 greylisted", "offer"},
		{"5xx", say(554, "5.7.1 spam"), nil, "554 5.7.1 spam", "offer void"},
		{"5xx of several lines", Reply{554, []string{"5.7.1 spam", "5.7.1 go away"}}, nil, "554-5.7.1 spam\r\n554 5.7.1 go away", "offer void"},
		{"3xx", say(354, "go on"), nil, "451 4.3.0 Unexpected answer from the next server", "offer"},
		{"lost before the dot", Reply{}, errLost, "451 4.4.2 Connection to the next server lost", "offer"},
		{"lost after the dot", Reply{}, errOutcomeUnknown, "451 4.4.2 Connection to the next server lost, outcome unknown", "offer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(_ *Options, r *rig) {
				r.upstream.data = func(context.Context, Content) (Reply, error) { return tc.reply, tc.err }
			})
			p := r.dial()
			p.envelope()
			p.talk("C: DATA", "S: 354*")
			p.send(rejectionMail + ".\r\n")
			p.talk("S: "+tc.want, "C: NOOP", "S: 250*")
			if did := r.referrals.did(); did != tc.steps {
				t.Errorf("steps %q, want %q", did, tc.steps)
			}
		})
	}
}
