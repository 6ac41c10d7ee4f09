package smtp

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"github.com/careerrelay/careerrelay/store"
)

// split plays one message to several recipients and returns the answer.
func (p *peer) split(mail string, to ...string) string {
	p.t.Helper()
	p.talk("C: MAIL FROM:<hr@company.example>", "S: 250*")
	for _, r := range to {
		p.talk("C: RCPT TO:"+r, "S: 250*")
	}
	p.talk("C: DATA", "S: 354*")
	p.send(mail + ".\r\n")
	return p.reply()
}

// verdicts is what the upstream says to the copy for each path.
type verdicts map[string]Reply

func splitRig(t *testing.T, v verdicts) (*rig, *peer) {
	r := newRig(t, func(o *Options, r *rig) {
		o.Companies[0].Recipients = SplitSeveral
		r.upstream.perRecipient = v
	})
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*")
	return r, p
}

// linkOf is the link in a delivered message, "" if there is none.
func linkOf(message string) string {
	_, rest, _ := strings.Cut(message, "https://jobs.example/r/")
	link, _, _ := strings.Cut(rest, "\r\n")
	return link
}

func TestSplit(t *testing.T) {
	r, p := splitRig(t, nil)
	if got := p.split(rejectionMail, "<a@b.example> NOTIFY=NEVER", "<boss@company.example>", "<c@d.example>"); got != "250 2.0.0 Ok: queued as ABC123" {
		t.Fatalf("got %q", got)
	}
	p.talk("C: QUIT", "S: 221*")
	got := r.upstream.got()
	if len(got) != 3 {
		t.Fatalf("%d copies, want 3", len(got))
	}
	links := map[string]string{}
	for _, d := range got {
		links[strings.Join(d.to, " ")] = linkOf(d.message)
		if body(t, d.message); !strings.Contains(d.message, rejectionMail) {
			t.Errorf("copy for %q is %q", d.to, d.message)
		}
	}
	a, boss, c := links["<a@b.example> NOTIFY=NEVER"], links["<boss@company.example>"], links["<c@d.example>"]
	if a == "" || c == "" || a == c || boss != "" {
		t.Errorf("links %q, want two different ones and none for the company's own", links)
	}
	if did := r.referrals.did(); did != "offer confirm offer confirm" {
		t.Errorf("steps %q", did)
	}
}

func TestSplitOnlyRejections(t *testing.T) {
	r, p := splitRig(t, nil)
	p.split(plainMail, "<a@b.example>", "<c@d.example>")
	p.talk("C: QUIT", "S: 221*")
	if got := r.upstream.got(); len(got) != 1 || len(got[0].to) != 2 || body(t, got[0].message) != plainMail {
		t.Errorf("delivered %+v, want one message to both", got)
	}
}

// TestSplitRetry: what one try delivered, the next leaves out.
func TestSplitRetry(t *testing.T) {
	v := verdicts{"<c@d.example>": say(451, "4.7.1 greylisted")}
	r, p := splitRig(t, v)
	to := []string{"<boss@company.example>", "<a@b.example>", "<c@d.example>"}
	if got := p.split(rejectionMail, to...); got != "451 4.7.1 greylisted" {
		t.Fatalf("first try: %q", got)
	}
	r.upstream.setVerdicts(nil)
	if got := p.split(rejectionMail, to...); got != "250 2.0.0 Ok: queued as ABC123" {
		t.Fatalf("second try: %q", got)
	}
	if got := p.split(rejectionMail, to...); got != "250 2.0.0 Delivered before" {
		t.Fatalf("third try: %q", got)
	}
	p.talk("C: QUIT", "S: 221*")
	count := map[string]int{}
	for _, d := range r.upstream.accepted() {
		count[d.to[0]]++
	}
	for _, path := range to {
		if count[path] != 1 {
			t.Errorf("%s got it %d times, want once", path, count[path])
		}
	}
}

// TestSplitRestart: after a restart the referral knows what was delivered.
func TestSplitRestart(t *testing.T) {
	r, p := splitRig(t, nil)
	r.referrals.state = store.Sent
	if got := p.split(rejectionMail, "<a@b.example>", "<c@d.example>"); got != "250 2.0.0 Delivered before" {
		t.Fatalf("got %q", got)
	}
	if n := len(r.upstream.got()); n != 0 {
		t.Errorf("%d copies were sent again", n)
	}
}

func TestSplitRefused(t *testing.T) {
	gone := say(550, "5.1.1 no such user")
	t.Run("all", func(t *testing.T) {
		r, p := splitRig(t, verdicts{"<a@b.example>": gone, "<c@d.example>": gone})
		if got := p.split(rejectionMail, "<a@b.example>", "<c@d.example>"); got != "550 5.1.1 no such user" {
			t.Errorf("got %q", got)
		}
		p.talk("C: QUIT", "S: 221*")
		if did := r.referrals.did(); did != "offer void offer void" {
			t.Errorf("steps %q", did)
		}
	})
	t.Run("one of two is reported", func(t *testing.T) {
		r, p := splitRig(t, verdicts{"<a@b.example>": gone})
		if got := p.split(rejectionMail, "<a@b.example>", "<c@d.example>"); !strings.HasPrefix(got, "250 ") {
			t.Errorf("got %q", got)
		}
		reports := reportsIn(r)
		if len(reports) != 1 || reports[0].to[0] != "<hr@company.example>" {
			t.Fatalf("reports %+v", reports)
		}
		checkReport(t, reports[0].message)
	})
	t.Run("NOTIFY=NEVER is not reported", func(t *testing.T) {
		r, p := splitRig(t, verdicts{"<a@b.example>": gone})
		p.split(rejectionMail, "<a@b.example> NOTIFY=NEVER", "<c@d.example>")
		if reports := reportsIn(r); len(reports) != 0 {
			t.Errorf("reports %+v", reports)
		}
	})
	t.Run("a report that cannot go makes the client come again", func(t *testing.T) {
		_, p := splitRig(t, verdicts{"<a@b.example>": gone, "<hr@company.example>": say(451, "4.2.0 later")})
		if got := p.split(rejectionMail, "<a@b.example>", "<c@d.example>"); !strings.HasPrefix(got, "451 ") {
			t.Errorf("got %q", got)
		}
	})
}

func reportsIn(r *rig) []delivery {
	var reports []delivery
	for _, d := range r.upstream.got() {
		if d.from == "<>" {
			reports = append(reports, d)
		}
	}
	return reports
}

func checkReport(t *testing.T, message string) {
	t.Helper()
	e, err := enmime.ReadEnvelope(strings.NewReader(message))
	if err != nil || len(e.Errors) != 0 {
		t.Fatalf("report cannot be read: %v %v", err, e.Errors)
	}
	for _, want := range []string{"Final-Recipient: rfc822; a@b.example", "Status: 5.1.1", "Action: failed",
		"Diagnostic-Code: smtp; 550 5.1.1 no such user", "Subject: result", "report-type=delivery-status"} {
		if !strings.Contains(message, want) {
			t.Errorf("report lacks %q:\n%s", want, message)
		}
	}
	if strings.Contains(message, "c@d.example") || strings.Contains(strings.ReplaceAll(message, "\r\n", ""), "\n") {
		t.Errorf("report names one who has the message, or has a bare LF:\n%s", message)
	}
}

func TestDeliveredForgets(t *testing.T) {
	var d delivered
	now := time.Unix(0, 0)
	first, second := "1", "2"
	d.add(first, now)
	d.add(second, now.Add(store.CopyLife+time.Second))
	if d.has(first) || !d.has(second) {
		t.Error("the old one must be forgotten, the new one known")
	}
}

// TestSplitFailOpen: a fault of ours in one copy lets that copy go unedited.
func TestSplitFailOpen(t *testing.T) {
	r, p := splitRig(t, nil)
	r.referrals.fault = func() error { return context.DeadlineExceeded }
	if got := p.split(rejectionMail, "<a@b.example>", "<c@d.example>"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("got %q", got)
	}
	for _, d := range r.upstream.got() {
		if body(t, d.message) != rejectionMail {
			t.Errorf("delivered %q", d.message)
		}
	}
}

// TestSplitRestartOwn: copies without a link are remembered over a restart too.
func TestSplitRestartOwn(t *testing.T) {
	to := []string{"<boss@company.example>", "<a@b.example>", "<c@d.example>"}
	before, p := splitRig(t, verdicts{"<c@d.example>": say(451, "4.7.1 greylisted")})
	if got := p.split(rejectionMail, to...); got != "451 4.7.1 greylisted" {
		t.Fatalf("first try: %q", got)
	}
	p.talk("C: QUIT", "S: 221*")

	after := newRig(t, func(o *Options, r *rig) {
		o.Companies[0].Recipients, o.Companies[0].upstream, o.Referrals = SplitSeveral, before.upstream, before.referrals
		before.upstream.setVerdicts(nil)
	})
	p = after.dial()
	p.talk("C: EHLO c", "S: 250*")
	if got := p.split(rejectionMail, to...); !strings.HasPrefix(got, "250 ") {
		t.Fatalf("second try: %q", got)
	}
	p.talk("C: QUIT", "S: 221*")
	count := map[string]int{}
	for _, d := range before.upstream.accepted() {
		count[d.to[0]]++
	}
	for _, path := range to {
		if count[path] != 1 {
			t.Errorf("%s got it %d times, want once", path, count[path])
		}
	}
}

// TestSplitForgetfulStore: without the store mail flows, and the memory of this
// process keeps a retry from doubling it.
func TestSplitForgetfulStore(t *testing.T) {
	to := []string{"<boss@company.example>", "<a@b.example>"}
	r, p := splitRig(t, nil)
	r.referrals.fault = func() error { return store.ErrUnavailable }
	for _, to := range to {
		if got := p.split(rejectionMail, to, "<c@d.example>", "<e@f.example>"); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("got %q", got)
		}
	}
	p.talk("C: QUIT", "S: 221*")
	if got := len(r.upstream.accepted()); got != 4 { // c and e once, boss and a
		t.Errorf("%d copies were delivered, want 4", got)
	}
	if got := r.counter("careerrelay_fail_open_total", "remember"); got == 0 {
		t.Error("not counted")
	}
}
