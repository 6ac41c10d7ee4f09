package smtp

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestPostfix sends to a real Postfix: pipelined, chunked and pooled.
func TestPostfix(t *testing.T) {
	postfix := smtptest.StartPostfix(t, smtptest.PostfixOptions{})
	for _, prefer := range []bool{false, true} {
		u, err := NewUpstream(UpstreamOptions{Hostname: "relay.example", PreferChunking: prefer, Servers: []Server{serverAt(t, postfix.Addr, Plaintext)}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := u.Extensions(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, keyword := range []string{"PIPELINING", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"} {
			if _, found := e[keyword]; !found {
				t.Errorf("Postfix offers %v without %s", e, keyword)
			}
		}
		for _, size := range []int{30, 70 << 10, 2 << 20} {
			got := carry(context.Background(), u, letterText(size))
			if got.err != nil || got.reply.Code != 250 || !strings.Contains(got.reply.Lines[0], "queued as") {
				t.Fatalf("got %q, %v", got.heard(), got.err)
			}
		}
		u.Close()
	}
	mails := postfix.Await(t, 12) // two recipients each
	for _, size := range []int{30, 70 << 10, 2 << 20} {
		want := strings.ReplaceAll(string(letterText(size)), "\r\n", "\n")
		n := 0
		for _, m := range mails {
			if strings.HasSuffix(m, want) {
				n++
			}
		}
		if n < 4 {
			t.Errorf("%d octets: %d whole mails, want 4", size, n)
		}
	}
}

// TestPostfixEnvelope: DSN, SMTPUTF8, quoted local parts and refusals through a real Postfix.
func TestPostfixEnvelope(t *testing.T) {
	postfix := smtptest.StartPostfix(t, smtptest.PostfixOptions{Main: []string{"smtpd_recipient_restrictions = check_recipient_access inline:{no@mail.example=REJECT}, permit_mynetworks, reject"}})
	u, err := NewUpstream(UpstreamOptions{Hostname: "relay.example", Servers: []Server{serverAt(t, postfix.Addr, Plaintext)}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	x, r, err := u.Begin(context.Background(), "<採用@company.example>", "SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=QQ1 SIZE=100")
	if err != nil || r.Code != 250 {
		t.Fatalf("MAIL: %v, %v", r, err)
	}
	for to, want := range map[string]int{`<"odd one"@mail.example>`: 250, "<候補@mail.example>": 250, "<no@mail.example>": 554} {
		r, err := x.Rcpt(context.Background(), to, "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y")
		if err != nil || r.Code != want {
			t.Errorf("%s: got %v, %v, want %d", to, r, err, want)
		}
	}
	if r, err = x.Data(context.Background(), letterText(10)); err != nil || r.Code != 250 {
		t.Errorf("DATA: %v, %v", r, err)
	}
	x.End()
	mails := fmt.Sprint(postfix.Await(t, 2))
	for _, want := range []string{`Delivered-To: "odd one"@mail.example`, "Delivered-To: 候補@mail.example"} {
		if !strings.Contains(mails, want) {
			t.Errorf("no mail has %q", want)
		}
	}
}
