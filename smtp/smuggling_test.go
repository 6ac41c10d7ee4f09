package smtp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestSmuggling sends every variant of an end of data, with a second message
// behind it, through the whole relay to an upstream: by DATA and by BDAT, the
// upstream sees one transaction with one message, or none.
func TestSmuggling(t *testing.T) {
	const smuggled = "MAIL FROM:<ceo@company.example>\r\nRCPT TO:<victim@mail.example>\r\nDATA\r\nFrom: ceo\r\n\r\nPay.\r\n"
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\r\n.\r\r\n",
		"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n\n.\r\n", "\n\n.\n\n", "\r\n..\r\n", "\r\n. \r\n"} {
		content := "Message-ID: <1@company.example>\r\n\r\nhello" + end + smuggled
		t.Run(fmt.Sprintf("DATA %q", end), func(t *testing.T) {
			smuggle(t, "DATA\r\n", content+"\r\n.\r\n")
		})
		t.Run(fmt.Sprintf("BDAT %q", end), func(t *testing.T) {
			smuggle(t, fmt.Sprintf("BDAT %d LAST\r\n", len(content)), content)
		})
		t.Run(fmt.Sprintf("two chunks %q", end), func(t *testing.T) {
			at := strings.Index(content, end) + 1
			smuggle(t, "", fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", at, content[:at], len(content)-at, content[at:]))
		})
	}
	t.Run("CRLF.CRLF in a chunk is content", func(t *testing.T) {
		content := "Message-ID: <1@company.example>\r\n\r\nhello\r\n.\r\n" + smuggled
		if got := smuggle(t, fmt.Sprintf("BDAT %d LAST\r\n", len(content)), content); !strings.HasSuffix(got, content) {
			t.Errorf("upstream has %q, want it to end in %q", got, content)
		}
	})
}

// smuggle sends a message and returns what the upstream keeps of it.
func smuggle(t *testing.T, command, octets string) string {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	r := newRig(t, func(o *Options, _ *rig) {
		o.Companies[0].upstream, o.Companies[0].Upstream = nil, newPool(t, nil, up)
	})
	p := r.dial()
	p.envelope()
	p.send(command)
	if command == "DATA\r\n" {
		p.expect("354*")
	}
	p.send(octets)
	p.send("QUIT\r\n")
	for reply := p.reply(); !strings.HasPrefix(reply, "221"); reply = p.reply() {
		if reply == "" || reply[0] == '<' {
			t.Fatalf("the session ends with %q", reply)
		}
	}
	if n := up.Count("MAIL"); n != 1 {
		t.Errorf("the upstream saw %d transactions: %q", n, up.Commands())
	}
	if n := up.Count("RCPT TO:<VICTIM"); n != 0 {
		t.Errorf("the upstream saw the smuggled recipient: %q", up.Commands())
	}
	messages := up.Messages()
	if len(messages) == 0 {
		return ""
	}
	if len(messages) > 1 || strings.ContainsAny(strings.ReplaceAll(messages[0].Body, "\r\n", ""), "\r\n") {
		t.Errorf("the upstream has %+v", messages)
	}
	return messages[0].Body
}
