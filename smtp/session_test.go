package smtp

import (
	"strings"
	"testing"
)

func TestPassUnedited(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.envelope()
	p.talk("C: DATA", "S: 354 End with CRLF.CRLF")
	p.send(plainMail + ".\r\n")
	p.talk("S: 250 2.0.0 Ok: queued as ABC123", "C: QUIT", "S: 221 2.0.0 Bye")
	p.closed()
	got := r.upstream.got()
	if len(got) != 1 || body(t, got[0].message) != plainMail {
		t.Errorf("delivered %+v, want %q under our two lines", got, plainMail)
	}
	if did := r.referrals.did(); did != "" {
		t.Errorf("an unedited message touched the store: %s", did)
	}
}

func TestEdit(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.envelope()
	p.talk("C: DATA", "S: 354*")
	p.send(rejectionMail + ".\r\n")
	p.talk("S: 250 2.0.0 Ok: queued as ABC123", "C: QUIT", "S: 221*")
	got := body(t, r.upstream.got()[0].message)
	block, found := strings.CutPrefix(got, rejectionMail)
	if !found || !strings.HasPrefix(block, "https://jobs.example/r/") {
		t.Errorf("delivered %q, want the mail and a link", got)
	}
	if did := r.referrals.did(); did != "offer confirm" {
		t.Errorf("steps %q, want offer and confirm", did)
	}
}

func TestEHLOMirrorsUpstream(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.talk("C: EHLO client.example",
		"S: 250-relay.example\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"+
			"250-LIMITS RCPTMAX=1000\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 SMTPUTF8")
}
