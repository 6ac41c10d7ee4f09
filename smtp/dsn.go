package smtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// report is a delivery status notification (RFC 3464) as Content.
type report struct{ bytes.Buffer }

func (r *report) Size() int64 { return int64(r.Len()) }

// WriteTo writes the report without consuming it: it may be sent again.
func (r *report) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.Bytes())
	return int64(n), err
}

// reportRefused tells the sender of a split message which recipients the upstream
// refused for good. Nobody is told where nobody wants to hear it: the null
// sender, and NOTIFY without FAILURE.
func (p *Proxy) reportRefused(ctx context.Context, t *transit, o *offer, refused []sent) error {
	var told []sent
	for _, s := range refused {
		if wantsReport(s.to) {
			told = append(told, s)
		}
	}
	if t.from.path == "<>" || len(told) == 0 {
		return nil
	}
	r, err := p.newReport(t, o, told)
	if err != nil {
		return err
	}
	var params []string
	if t.utf8() {
		params = append(params, "SMTPUTF8")
	}
	if _, given := t.from.option("REQUIRETLS"); given { // RFC 8689, section 5
		params = append(params, "REQUIRETLS")
	}
	up, reply, err := beginWith(ctx, t.via, envelopeLine{path: "<>", params: strings.Join(params, " ")}, envelopeLine{path: t.from.path})
	if up != nil {
		defer up.End()
	}
	if err == nil && reply.Class() == 2 {
		reply, err = up.Data(ctx, r)
	}
	if err == nil && reply.Class() != 2 {
		err = fmt.Errorf("send report: upstream answered %d", reply.Code)
	}
	return err
}

// wantsReport reads NOTIFY (RFC 3461, section 4.1); without it failures are told.
func wantsReport(r command) bool {
	o, given := r.option("NOTIFY")
	return !given || strings.Contains(strings.ToUpper(o.value), "FAILURE")
}

// newReport writes the notification: words for a person, the status of each
// recipient, and the header of the message.
func (p *Proxy) newReport(t *transit, o *offer, refused []sent) (*report, error) {
	head := make([]byte, min(o.raw.Size(), 64<<10))
	if _, err := o.raw.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		head = head[:end+2]
	}
	now := p.o.Now()
	boundary := "career-relay-" + newID() + newID()
	r := &report{}
	line := func(format string, args ...any) { fmt.Fprintf(r, format+"\r\n", args...) }
	r.WriteString(p.stamp.line(t.company.ID, "<"+t.id+".report@"+p.o.Hostname+">", now))
	line("From: Mail Delivery System <MAILER-DAEMON@%s>", p.o.Hostname)
	line("To: %s", t.from.path)
	line("Subject: Undelivered mail returned to sender")
	line("Date: %s", now.Format(time.RFC1123Z))
	line("Message-ID: <%s.report@%s>", t.id, p.o.Hostname)
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=%q", boundary)
	line("\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", boundary)
	line("The next mail server refused your message for these recipients for good;\r\nthe others have it.\r\n")
	for _, s := range refused {
		line("%s: %s", s.to.path, statusText(s.reply))
	}
	line("\r\n--%s\r\nContent-Type: message/delivery-status\r\n", boundary)
	line("Reporting-MTA: dns; %s", p.o.Hostname)
	for _, s := range refused {
		line("\r\nFinal-Recipient: rfc822; %s", strings.Trim(s.to.path, "<>"))
		line("Action: failed\r\nStatus: %s\r\nDiagnostic-Code: smtp; %s", enhancedCode(s.reply), statusText(s.reply))
	}
	line("\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n", boundary)
	r.Write(head)
	line("\r\n--%s--", boundary)
	return r, nil
}

func statusText(r Reply) string {
	return fmt.Sprintf("%d %s", r.Code, printable(strings.Join(r.Lines, " ")))
}

// enhancedCode is the code at the beginning of a reply's text (RFC 2034), or the
// one that says no more than its class.
func enhancedCode(r Reply) string {
	if len(r.Lines) > 0 {
		code, _, _ := strings.Cut(r.Lines[0], " ")
		if parts := strings.Split(code, "."); len(parts) == 3 && parts[0] == fmt.Sprint(r.Class()) &&
			strings.Trim(parts[1]+parts[2], "0123456789") == "" && parts[1] != "" && parts[2] != "" {
			return code
		}
	}
	return fmt.Sprintf("%d.0.0", r.Class())
}
