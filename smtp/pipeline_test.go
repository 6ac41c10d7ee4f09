package smtp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// realUpstream puts a pool in front of a test server behind the relay.
func realUpstream(u *Upstream) func(*Options, *rig) {
	return func(o *Options, _ *rig) { o.Companies[0].Upstream, o.Companies[0].upstream = u, nil }
}

// TestPipelinedEnvelope: what a client says at once is asked upstream at once,
// and each command has its own answer in its turn.
func TestPipelinedEnvelope(t *testing.T) {
	const good = "RCPT TO:<%s@mail.example>\r\n"
	tests := []struct {
		name, commands string
		faults         map[smtptest.Point]smtptest.Fault
		want           []string
		rcpts          int // that reached the upstream
	}{
		{"all taken", fmt.Sprintf(good+good+good, "a", "b", "c"), nil, []string{"250*", "250*", "250*", "250*"}, 3},
		{"one refused", fmt.Sprintf(good+good+good, "a", "b", "c"), map[smtptest.Point]smtptest.Fault{{Step: smtptest.Rcpt, Nth: 2}: smtptest.Say("550 5.1.1 no such user")},
			[]string{"250*", "250*", "550 5.1.1 no such user", "250*"}, 3},
		{"one malformed", fmt.Sprintf(good+"RCPT TO:nobody\r\n"+good, "a", "c"), nil, []string{"250*", "250*", "501*", "250*"}, 2},
		{"something between", fmt.Sprintf(good+"NOOP\r\n"+good, "a", "c"), nil, []string{"250*", "250*", "250 2.0.0 OK", "250*"}, 2},
		{"a new transaction", fmt.Sprintf(good+"RSET\r\nMAIL FROM:<hr@company.example>\r\n"+good, "a", "c"), nil, []string{"250*", "250*", "250*", "250*", "250*"}, 2},
		{"sender refused", fmt.Sprintf(good+good, "a", "b"), map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Mail): smtptest.Say("550 5.7.1 not you")},
			[]string{"550 5.7.1 not you", "503*", "503*"}, 0},
		{"half a command", fmt.Sprintf(good+"RCPT TO:<b@mail.", "a"), nil, []string{"250*", "250*"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := map[smtptest.Point]smtptest.Fault{}
			for at, f := range tt.faults {
				faults[at] = f
			}
			up := smtptest.NewUpstream(t, smtptest.Options{Faults: faults})
			r := newRig(t, realUpstream(newPool(t, nil, up)))
			p := r.dial()
			p.talk("C: EHLO c", "S: 250*")
			p.send("MAIL FROM:<hr@company.example>\r\n" + tt.commands)
			for _, want := range tt.want {
				p.expect(want)
			}
			if got := up.Count("RCPT"); tt.rcpts > 0 && got != tt.rcpts {
				t.Errorf("upstream was asked about %d recipients, want %d: %q", got, tt.rcpts, up.Commands())
			}
		})
	}
}

// TestPipelinedMessage: an envelope that was asked at once carries its message to
// those who were accepted.
func TestPipelinedMessage(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{{Step: smtptest.Rcpt, Nth: 2}: smtptest.Say("450 4.2.1 not now")}})
	r := newRig(t, realUpstream(newPool(t, nil, up)))
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*")
	p.send("MAIL FROM:<hr@company.example>\r\nRCPT TO:<a@mail.example>\r\nRCPT TO:<b@mail.example>\r\nRCPT TO:<c@mail.example>\r\nDATA\r\n")
	for _, want := range []string{"250*", "250*", "450 4.2.1 not now", "250*", "354*"} {
		p.expect(want)
	}
	p.send(plainMail + ".\r\n")
	p.expect("250*")
	if got := up.Messages(); len(got) != 1 || strings.Join(got[0].Rcpt, " ") != "TO:<a@mail.example> TO:<c@mail.example>" {
		t.Errorf("upstream got %+v", got)
	}
}

// TestPipelinedWish: a recipient's parameter that no server grants is that
// recipient's trouble alone.
func TestPipelinedWish(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	u := newPool(t, nil, up)
	to := []envelopeLine{{path: "<a@mail.example>"}, {path: "<b@mail.example>", params: "RRVS=2026-01-01T00:00:00Z"}}
	x, r, answers, err := u.BeginAll(t.Context(), envelopeLine{path: "<hr@company.example>"}, to)
	if err != nil || r.Code != 250 || len(answers) != 0 {
		t.Fatalf("got %v, %v, %v", r, answers, err)
	}
	defer x.End()
	if r, err := x.Rcpt(t.Context(), to[0].path, to[0].params); err != nil || r.Code != 250 {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := x.Rcpt(t.Context(), to[1].path, to[1].params); !isMissing(err) {
		t.Errorf("got %v, want a missing extension", err)
	}
}
