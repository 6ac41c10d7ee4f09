package smtp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestUpstreamFaults plays every fault at every step, and pins what the client
// hears, whether the message was kept, and that no torn one ever was.
func TestUpstreamFaults(t *testing.T) {
	const (
		unreachable = "451 4.4.1 Next server cannot be reached"
		untrusted   = "451 4.7.5 Next server cannot be verified"
		login       = "451 4.7.0 Next server refused our login"
		lost        = "451 4.4.2 Connection to the next server lost"
		unknown     = "451 4.4.2 Connection to the next server lost, outcome unknown"
		budget      = "451 4.4.5 Next server took too long"
		nonsense    = "451 4.3.0 Unexpected answer from the next server"
		accepted    = "250 2.0.0 Ok: queued as M1"
	)
	type outcome struct {
		heard string
		kept  int
	}
	refusals := func(heard func(text string) string) map[string]outcome {
		return map[string]outcome{
			"4xx": {heard("450 4.7.1 Try later"), 0},
			"5xx": {heard("550 5.7.1 No"), 0},
		}
	}
	always := func(reply string) func(string) string { return func(string) string { return reply } }
	verbatim := func(text string) string { return text }
	table := []struct {
		step smtptest.Step
		want map[string]outcome // by fault; refusals beside
		says map[string]outcome
	}{
		{smtptest.Connect, map[string]outcome{"refuse": {unreachable, 0}, "close": {unreachable, 0}, "RST": {unreachable, 0}, "hang": {unreachable, 0}}, nil},
		{smtptest.Greeting, map[string]outcome{"close": {unreachable, 0}, "RST": {unreachable, 0}, "hang": {unreachable, 0}, "garbage": {unreachable, 0}, "slow": {accepted, 1}}, refusals(always(unreachable))},
		{smtptest.Hello, map[string]outcome{"close": {unreachable, 0}, "RST": {unreachable, 0}, "hang": {unreachable, 0}, "garbage": {unreachable, 0}}, refusals(always(unreachable))},
		{smtptest.StartTLS, map[string]outcome{"close": {unreachable, 0}, "RST": {unreachable, 0}, "hang": {unreachable, 0}, "garbage": {unreachable, 0}, "TLS failure": {untrusted, 0}}, refusals(always(untrusted))},
		{smtptest.Auth, map[string]outcome{"close": {unreachable, 0}, "RST": {unreachable, 0}, "hang": {unreachable, 0}, "garbage": {unreachable, 0}}, refusals(always(login))},
		{smtptest.Mail, map[string]outcome{"close": {lost, 0}, "RST": {lost, 0}, "hang": {budget, 0}, "garbage": {nonsense, 0}}, refusals(verbatim)},
		{smtptest.Rcpt, map[string]outcome{"close": {lost, 0}, "RST": {lost, 0}, "hang": {budget, 0}, "garbage": {nonsense, 0}, "slow": {accepted, 1}}, refusals(verbatim)},
		{smtptest.Data, map[string]outcome{"close": {lost, 0}, "RST": {lost, 0}, "hang": {budget, 0}, "garbage": {nonsense, 0}}, refusals(verbatim)},
		{smtptest.FirstByte, map[string]outcome{"close": {lost, 0}, "RST": {lost, 0}, "hang": {budget, 0}, "garbage": {nonsense, 0}}, refusals(verbatim)},
		{smtptest.MidBody, map[string]outcome{"close": {lost, 0}, "RST": {lost, 0}, "hang": {budget, 0}, "garbage": {nonsense, 0}}, refusals(verbatim)},
		{smtptest.FinalDot, map[string]outcome{"close": {unknown, 0}, "RST": {unknown, 0}, "hang": {unknown, 0}, "garbage": {unknown, 0}}, refusals(verbatim)},
		{smtptest.AfterDot, map[string]outcome{"close": {unknown, 1}, "RST": {unknown, 1}, "hang": {unknown, 1}, "garbage": {unknown, 1}, "slow": {accepted, 1}}, nil},
	}
	faults := map[string]smtptest.Fault{
		"refuse": smtptest.Refuse(), "close": smtptest.Close(), "RST": smtptest.RST(), "hang": smtptest.Hang(),
		"garbage": smtptest.Garbage(), "slow": smtptest.Slow(time.Millisecond), "TLS failure": smtptest.BadTLS(),
		"4xx": smtptest.Say("450 4.7.1 Try later"), "5xx": smtptest.Say("550 5.7.1 No"),
	}
	for _, row := range table {
		for name, want := range row.want {
			t.Run(fmt.Sprintf("%s/%s", row.step, name), func(t *testing.T) {
				t.Parallel()
				playFault(t, row.step, faults[name], want.heard, want.kept)
			})
		}
		for name, want := range row.says {
			t.Run(fmt.Sprintf("%s/%s", row.step, name), func(t *testing.T) {
				t.Parallel()
				playFault(t, row.step, faults[name], want.heard, want.kept)
			})
		}
	}
}

func playFault(t *testing.T, step smtptest.Step, fault smtptest.Fault, want string, kept int) {
	inside := step == smtptest.FirstByte || step == smtptest.MidBody
	authority := smtptest.NewAuthority(t)
	up := smtptest.NewUpstream(t, smtptest.Options{
		TLS: authority.Server(t, "127.0.0.1"), Auth: "PLAIN", MidBody: 100 << 10, Narrow: inside,
		Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(step): fault},
	})
	u := newPool(t, func(o *UpstreamOptions) {
		o.Servers[0].Security = VerifiedSTARTTLS
		o.Roots = authority.Pool()
		if inside {
			o.Dial = narrow
		}
		o.Auth = PlainAuth("relay", func() (string, error) { return "secret", nil })
		if fault == smtptest.Hang() {
			o.Timeouts = hangTimeouts(step)
		}
	}, up)
	letter := letterText(200 << 10) // several writes
	if inside {
		letter = letterText(wideLetter)
	}
	began := time.Now()
	got := carry(context.Background(), u, letter)
	if took := time.Since(began); took > smtptest.Patience {
		t.Errorf("took %s", took)
	}
	if got.heard() != want {
		t.Errorf("client hears %q (%s: %v), want %q", got.heard(), got.step, got.err, want)
	}
	u.Close()
	up.Stop() // waits for what runs there
	if n := len(up.Messages()); n != kept {
		t.Errorf("upstream kept %d messages, want %d", n, kept)
	}
	for _, m := range up.Messages() {
		if m.Body != string(letter) {
			t.Errorf("upstream kept another message than was sent, of %d octets", len(m.Body))
		}
	}
	var trouble *UpstreamError
	if got.err != nil && !errors.As(got.err, &trouble) {
		t.Errorf("error %v is no UpstreamError", got.err)
	}
}
