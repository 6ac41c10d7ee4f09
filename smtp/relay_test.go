package smtp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// deliver sends one message in a transaction of its own and returns the answer.
func (p *peer) deliver(message string) string {
	p.t.Helper()
	p.envelope()
	p.talk("C: DATA", "S: 354*")
	p.send(message + ".\r\n")
	return p.reply()
}

func TestLoops(t *testing.T) {
	r := newRig(t)
	ours := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(r.proxy.stamp.line("sample", "<2@company.example>", time.Unix(int64(i), 0)))
		}
		return b.String()
	}
	forged := "X-Career-Relay: relayed; 1; 00000000000000000000000000000000\r\n"
	for _, tc := range []struct {
		name, in, out string // out: what is delivered below our lines; "" is not checked
		reply         string
		edited        bool
	}{
		{"50 Received", strings.Repeat("Received: x\r\n", 50) + rejectionMail, "", "250", true},
		{"51 Received", strings.Repeat("Received: x\r\n", 51) + rejectionMail, "", "554 5.4.6 Mail loop detected", false},
		{"returned", ours(1) + rejectionMail, ours(1) + rejectionMail, "250", false},
		{"returned three times", ours(3) + rejectionMail, ours(3) + rejectionMail, "250", false},
		{"loops", ours(4) + rejectionMail, "", "554 5.4.6 Mail loop detected", false},
		{"forged stamp goes, mail is edited", forged + rejectionMail, "", "250", true},
		{"forged stamp goes, mail is not edited", "A: 1\r\n" + forged + plainMail, "A: 1\r\n" + plainMail, "250", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(r.upstream.got())
			p := r.dial()
			if got := p.deliver(tc.in); !strings.HasPrefix(got, tc.reply) {
				t.Fatalf("got %q, want %q", got, tc.reply)
			}
			p.talk("C: QUIT", "S: 221*")
			got := r.upstream.got()[before:]
			if tc.reply != "250" {
				if len(got) != 0 {
					t.Error("delivered all the same")
				}
				return
			}
			out := body(t, got[0].message)
			if tc.out != "" && out != tc.out {
				t.Errorf("delivered %q, want %q", out, tc.out)
			}
			if strings.Contains(out, forged) || strings.Contains(out, "jobs.example") != tc.edited {
				t.Errorf("delivered %q, want edited = %v and no forged stamp", out, tc.edited)
			}
		})
	}
}

// TestReasons: why a rejection goes on unedited.
func TestReasons(t *testing.T) {
	signed := "DKIM-Signature: v=1\r\n" + rejectionMail
	for _, tc := range []struct {
		name   string
		change func(o *Options, r *rig)
		mail   string
		rcpts  []string
		reason string // "" is edited
	}{
		{"edited", nil, rejectionMail, []string{"a@b.example"}, ""},
		{"own recipients do not count", nil, rejectionMail, []string{"a@b.example", "x@company.example", "y@Sub.Company.Example"}, ""},
		{"only own recipients", nil, rejectionMail, []string{"x@company.example"}, "no_candidate"},
		{"postmaster", nil, rejectionMail, []string{"postmaster"}, "no_candidate"},
		{"two candidates", nil, rejectionMail, []string{"a@b.example", "c@b.example"}, "several_candidates"},
		{"no rejection", nil, plainMail, []string{"a@b.example"}, "no_rule"},
		{"signed", nil, signed, []string{"a@b.example"}, "dkim"},
		{"signed, policy insert", func(o *Options, _ *rig) { o.Companies[0].DKIM = InsertSigned }, signed, []string{"a@b.example"}, ""},
		{"off", func(o *Options, _ *rig) { o.Companies[0].Mode = Off }, rejectionMail, []string{"a@b.example"}, "off"},
		{"observe", func(o *Options, _ *rig) { o.Companies[0].Mode = Observe }, rejectionMail, []string{"a@b.example"}, "observe"},
		{"rule not released", func(o *Options, _ *rig) { o.Companies[0].Release = []string{"ja-x"} }, rejectionMail, []string{"a@b.example"}, "not_released"},
		{"rule released", func(o *Options, _ *rig) { o.Companies[0].Release = []string{"en-test"} }, rejectionMail, []string{"a@b.example"}, ""},
		{"opted out", func(_ *Options, r *rig) {
			r.referrals.fault = func() error { return fmt.Errorf("offer: %w", store.ErrSuppressed) }
		}, rejectionMail, []string{"a@b.example"}, "opted_out"},
		{"offered before", func(_ *Options, r *rig) { r.referrals.fault = func() error { return store.ErrOffered } }, rejectionMail, []string{"a@b.example"}, "offered_before"},
		{"store down", func(_ *Options, r *rig) { r.referrals.fault = func() error { return store.ErrUnavailable } }, rejectionMail, []string{"a@b.example"}, "failed_record"},
		{"block would pass the upstream's limit", func(_ *Options, r *rig) { r.upstream.extensions["SIZE"] = "10000" }, rejectionMail, []string{"a@b.example"}, "size"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(o *Options, r *rig) {
				if tc.change != nil {
					tc.change(o, r)
				}
			})
			p := r.dial()
			p.talk("C: EHLO c", "S: 250*", "C: MAIL FROM:<hr@company.example>", "S: 250*")
			for _, rcpt := range tc.rcpts {
				p.talk("C: RCPT TO:<"+rcpt+">", "S: 250*")
			}
			p.talk("C: DATA", "S: 354*")
			p.send(tc.mail + ".\r\n")
			p.talk("S: 250*", "C: QUIT", "S: 221*")
			out := body(t, r.upstream.got()[0].message)
			if edited := out != tc.mail; edited != (tc.reason == "") {
				t.Errorf("edited = %v, want reason %q; delivered %q", edited, tc.reason, out)
			}
			if tc.reason != "" && r.counter("careerrelay_messages_unedited_total", tc.reason) != 1 {
				t.Errorf("reason %q is not counted; log:\n%s", tc.reason, r.logs)
			}
		})
	}
}

// TestLogLine: one line per message, with all that an operator may know and
// nothing that tells of a person.
func TestLogLine(t *testing.T) {
	r := newRig(t, func(o *Options, r *rig) { o.Logger = slog.New(slog.NewJSONHandler(r.logs, nil)) })
	p := r.dial()
	p.deliver("Subject: canary-subject\r\n" + rejectionMail)
	p.talk("C: QUIT", "S: 221*")
	var lines []map[string]any
	for _, text := range strings.Split(strings.TrimSpace(r.logs.String()), "\n") {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] == "message" {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		t.Fatalf("%d lines, want one:\n%s", len(lines), r.logs)
	}
	for key, want := range map[string]any{
		"client": "127.0.0.1", "company": "sample", "mail_from_domain": "company.example", "rcpt_count": 1.0,
		"verdict": "rejection", "rule": "en-test", "action": "insert", "reason": "", "reply": 250.0, "queue_id": "ABC123", "outcome": "accepted",
	} {
		if got := lines[0][key]; got != want {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
	for _, canary := range []string{"candidate", "mail.example", "canary-subject", "unfortunately", "jobs.example", "hr@"} {
		if strings.Contains(r.logs.String(), canary) {
			t.Errorf("the log holds %q:\n%s", canary, r.logs)
		}
	}
	if n := r.counter("careerrelay_smtp_messages_total", "accepted"); n != 1 {
		t.Errorf("accepted = %v, want 1", n)
	}
}

// TestBudget: an upstream that does not answer costs the budget and no more.
func TestBudget(t *testing.T) {
	r := newRig(t, func(o *Options, r *rig) {
		o.Timeouts.Transaction = 50 * time.Millisecond
		r.upstream.data = func(ctx context.Context, _ Content) (Reply, error) {
			<-ctx.Done()
			return Reply{}, errors.New("read: i/o timeout")
		}
	})
	p := r.dial()
	if got := p.deliver(rejectionMail); got != "451 4.4.5 Next server took too long" {
		t.Errorf("got %q", got)
	}
	p.talk("C: NOOP", "S: 250*")
}

func TestTraffic(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.deliver(plainMail)
	p.deliver(rejectionMail)
	p.talk("C: QUIT", "S: 221*")
	r.proxy.FlushTraffic(context.Background())
	if got, want := r.referrals.sums, (store.Traffic{Seen: 2, Matched: 1, Inserted: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestRetryToken: the same message to the same person gets the same link.
func TestRetryToken(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	for _, mail := range []string{rejectionMail, rejectionMail, strings.Replace(rejectionMail, "<2@", "<3@", 1)} {
		p.deliver(mail)
	}
	p.talk("C: QUIT", "S: 221*")
	got := r.upstream.got()
	link := func(d delivery) string { return d.message[strings.Index(d.message, "https://"):] }
	if link(got[0]) != link(got[1]) || link(got[0]) == link(got[2]) {
		t.Errorf("links %q, %q, %q: want the same, the same, another", link(got[0]), link(got[1]), link(got[2]))
	}
}

// TestBusy: a message that finds no place among those that are inspected goes on
// unedited, and soon.
func TestBusy(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(o *Options, _ *rig) {
		o.Limits.Messages, o.Timeouts.Inspect = 1, 20*time.Millisecond
		o.Companies[0].editor = fakeEditor{func(step string) error {
			if step == "inspect" {
				close(entered)
				<-release
			}
			return nil
		}}
	})
	first, second := r.dial(), r.dial()
	first.envelope()
	first.talk("C: DATA", "S: 354*")
	first.send(rejectionMail + ".\r\n")
	<-entered
	if got := second.deliver(rejectionMail); !strings.HasPrefix(got, "250 ") {
		t.Errorf("got %q", got)
	}
	if got := body(t, r.upstream.got()[0].message); got != rejectionMail {
		t.Errorf("delivered %q, want the original", got)
	}
	close(release)
	first.expect("250*")
}
