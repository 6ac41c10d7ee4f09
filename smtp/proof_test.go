package smtp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/rewrite"
)

// TestProofFailureIsCounted: an edit that is not proven is counted as what it is,
// and its structure is in the log.
func TestProofFailureIsCounted(t *testing.T) {
	r := newRig(t, func(o *Options, _ *rig) {
		o.Companies[0].editor = fakeEditor{func(step string) error {
			if step == "prove" {
				return fmt.Errorf("%w: bytes differ; structure: text/plain", rewrite.ErrProof)
			}
			return nil
		}}
	})
	p := r.dial()
	if got := p.deliver(rejectionMail); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	p.talk("C: QUIT", "S: 221*")
	if got := body(t, r.upstream.got()[0].message); got != rejectionMail {
		t.Errorf("delivered %q, want the original", got)
	}
	if proofs, open := r.counter("careerrelay_proof_failures_total"), r.counter("careerrelay_fail_open_total", "prove"); proofs != 1 || open != 1 {
		t.Errorf("counted %v proof failures and %v times fail open, want 1 and 1", proofs, open)
	}
	if !strings.Contains(r.logs.String(), "structure: text/plain") {
		t.Errorf("the log lacks the structure:\n%s", r.logs)
	}
}

// slowRules decide when the time for a message is over.
type slowRules struct{ until time.Duration }

func (s slowRules) Decide(r *rewrite.Reading, env rewrite.Envelope) rewrite.Verdict {
	<-time.After(s.until)
	return alwaysRejection{"en"}.Decide(r, env)
}

// TestLimitsAreCounted: a message beyond each limit of the configuration passes
// as it came, and the reason that is counted names the limit.
func TestLimitsAreCounted(t *testing.T) {
	const head = "Message-ID: <l@company.example>\r\nFrom: hr@company.example\r\n"
	nested := head
	for i := range 4 {
		nested += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	multipart := head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for _, tc := range []struct {
		reason, mail string
		change       func(o *Options)
	}{
		{"limit_headers", "X-Pad: " + strings.Repeat("x", 3000) + "\r\n" + head + "\r\nno\r\n", func(o *Options) { o.Limits.Inspect.HeaderBytes = 2000 }},
		{"limit_parts", multipart + strings.Repeat("--b\r\n\r\nno\r\n", 6), func(o *Options) { o.Limits.Inspect.Parts = 5 }},
		{"limit_depth", nested + "\r\nno\r\n", func(o *Options) { o.Limits.Inspect.Depth = 2 }},
		{"limit_text", head + "\r\n" + strings.Repeat("no\r\n", 1000), func(o *Options) { o.Limits.Inspect.TextBytes = 1000 }},
		{"limit_time", head + "\r\nno\r\n", func(o *Options) {
			o.Timeouts.Inspect = 200 * time.Millisecond
			o.Companies[0].Rules = slowRules{o.Timeouts.Inspect}
		}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			r := newRig(t, withRewrite, func(o *Options, _ *rig) { tc.change(o) })
			p := r.dial()
			if got := p.deliver(tc.mail); !strings.HasPrefix(got, "250 ") {
				t.Fatal(got)
			}
			p.talk("C: QUIT", "S: 221*")
			if got := body(t, r.upstream.got()[0].message); got != tc.mail {
				t.Errorf("delivered %.200q, want what came", got)
			}
			if n := r.counter("careerrelay_messages_unedited_total", tc.reason); n != 1 {
				t.Errorf("%s is counted %v times; log:\n%s", tc.reason, n, r.logs)
			}
		})
	}
}
