package smtptest

import (
	"strings"
	"testing"
)

// TestPostfixDoors lets a message leave Postfix by each of the three doors at which a
// relay can stand.
func TestPostfixDoors(t *testing.T) {
	doors := map[string]func(up *Upstream) PostfixOptions{
		"relayhost": func(up *Upstream) PostfixOptions { return PostfixOptions{Relayhost: bracketed(up.Addr())} },
		"content_filter": func(up *Upstream) PostfixOptions {
			return PostfixOptions{ContentFilter: "smtp:" + bracketed(up.Addr())}
		},
		"smtpd_proxy_filter": func(up *Upstream) PostfixOptions { return PostfixOptions{ProxyFilter: up.Addr()} },
	}
	for name, door := range doors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := NewUpstream(t, Options{})
			postfix := StartPostfix(t, door(up))
			c := Dial(t, postfix.Addr)
			c.Talk("S: 220 *", "C: EHLO client.example", "S: 250-*", "C: MAIL FROM:<hr@company.example>", "S: 250 *",
				"C: RCPT TO:<candidate@other.example>", "S: 250 *", "C: DATA", "S: 354 *", "C: Subject: door\r\n\r\nHello\r\n.", "S: 250 *", "C: QUIT", "S: 221 *")
			up.Await(t, "the message", func() bool { return len(up.Messages()) == 1 })
			if m := up.Messages()[0]; !strings.Contains(m.Body, "Subject: door\r\n") || !strings.HasSuffix(m.Body, "\r\n\r\nHello\r\n") {
				t.Errorf("upstream keeps %q", m.Body)
			}
		})
	}
}

// TestPostfixReinjection: what comes back past the filters is delivered.
func TestPostfixReinjection(t *testing.T) {
	postfix := StartPostfix(t, PostfixOptions{ContentFilter: "smtp:[127.0.0.1]:1"})
	c := Dial(t, postfix.Reinjection)
	c.Talk("S: 220 *", "C: EHLO relay.example", "S: 250-*", "C: MAIL FROM:<hr@company.example>", "S: 250 *",
		"C: RCPT TO:<candidate@mail.example>", "S: 250 *", "C: DATA", "S: 354 *", "C: Subject: back\r\n\r\nHello\r\n.", "S: 250 *")
	if mails := postfix.Await(t, 1); !strings.Contains(mails[0], "Subject: back\n\nHello\n") {
		t.Errorf("mailbox holds %q", mails[0])
	}
}

func bracketed(addr string) string {
	host, port, _ := strings.Cut(addr, ":")
	return "[" + host + "]:" + port
}
