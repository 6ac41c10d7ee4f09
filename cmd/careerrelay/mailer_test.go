package main

import (
	"bytes"
	"mime"
	"net/mail"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
	"github.com/careerrelay/careerrelay/web"
)

// decodedHeader is a field of a mail in readable form.
func decodedHeader(t *testing.T, m *mail.Message, name string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return text
}

func newTestMailer(t *testing.T, up *smtptest.Upstream, sender string) *mailer {
	t.Helper()
	text := strings.Replace(string(configs.Sample), "127.0.0.1:2526", up.Addr(), 1)
	text = strings.Replace(text, "株式会社サンプル 採用担当 <saiyo@sample.example.jp>", sender, 1)
	c, err := configs.Parse("careerrelay.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ups, err := upstreams{}.next(c, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { (upstreams{}).discard(ups) })
	m := newMailer(func(company, id string) string { return "X-Career-Relay: " + company + " " + id + "\r\n" }, prometheus.NewRegistry())
	m.now = func() time.Time { return time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC) }
	if err := m.follow(c, ups, "relay.example"); err != nil {
		t.Fatal(err)
	}
	return m
}

var receipts = map[string]web.Mail{
	"Japanese": {Company: "sample", To: "taro@mail.example", Language: "ja", Subject: strings.Repeat("お申し込みの控え", 4),
		Text: "同意いただいた内容\nhttps://r.example.jp/r/x\n", HTML: "<p>同意いただいた内容</p>\n"},
	"English": {Company: "sample", To: `"a b"@mail.example`, Language: "en", Subject: "Your application",
		Text: strings.Repeat("a long line = ", 100) + "\n.\nFrom here\n", HTML: "<p>a</p>\n"},
	"address in full": {Company: "sample", To: "太郎@メール.example", Language: "ja", Subject: "x", Text: "x\n", HTML: "x\n"},
}

// TestMailer: what arrives says what was meant, in ASCII and short lines.
func TestMailer(t *testing.T) {
	for name, letter := range receipts {
		t.Run(name, func(t *testing.T) {
			up := smtptest.NewUpstream(t, smtptest.Options{})
			m := newTestMailer(t, up, "株式会社サンプル 採用担当 <saiyo@sample.example.jp>")
			if err := m.Send(t.Context(), letter); err != nil {
				t.Fatal(err)
			}
			got := up.Messages()[0]
			for _, line := range strings.SplitAfter(got.Body, "\r\n") {
				if len(line) > 78 && !strings.HasPrefix(line, "Content-Type") || strings.Contains(strings.TrimSuffix(line, "\r\n"), "\n") {
					t.Errorf("line of %d: %q", len(line), line)
				}
			}
			e, err := enmime.ReadEnvelope(strings.NewReader(got.Body))
			if err != nil || len(e.Errors) > 0 {
				t.Fatalf("read: %v, %v", err, e.Errors)
			}
			if e.GetHeader("Subject") != letter.Subject || e.HTML != strings.ReplaceAll(letter.HTML, "\n", "\r\n") ||
				strings.ReplaceAll(e.Text, "\r\n", "\n") != letter.Text {
				t.Errorf("subject %q, text %q, HTML %q", e.GetHeader("Subject"), e.Text, e.HTML)
			}
			if e.GetHeader("From") != "株式会社サンプル 採用担当 <saiyo@sample.example.jp>" || e.GetHeader("Auto-Submitted") != "auto-generated" ||
				e.GetHeader("X-Career-Relay") != "sample "+e.GetHeader("Message-ID") || e.GetHeader("Date") != "Mon, 01 Jun 2026 09:00:00 +0000" {
				t.Errorf("header: %v", e.Root.Header)
			}
			if n := testutil.ToFloat64(m.mails.WithLabelValues("sent")); n != 1 {
				t.Errorf("sent: %v", n)
			}
		})
	}
}

// TestMailerEnvelope: an address outside ASCII needs an upstream that takes it.
func TestMailerEnvelope(t *testing.T) {
	letter := receipts["address in full"]
	up := smtptest.NewUpstream(t, smtptest.Options{})
	if err := newTestMailer(t, up, "saiyo@sample.example.jp").Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	if m := up.Messages()[0]; m.Mail != "FROM:<saiyo@sample.example.jp> SMTPUTF8" || m.Rcpt[0] != "TO:<太郎@xn--4dkua4c.example>" {
		t.Errorf("envelope %q %q", m.Mail, m.Rcpt)
	}
	old := smtptest.NewUpstream(t, smtptest.Options{Extensions: []string{"8BITMIME"}})
	if err := newTestMailer(t, old, "saiyo@sample.example.jp").Send(t.Context(), letter); err == nil {
		t.Error("sent without SMTPUTF8")
	}
	letter.To = "taro@メール.example"
	if err := newTestMailer(t, old, "saiyo@sample.example.jp").Send(t.Context(), letter); err != nil {
		t.Errorf("domain outside ASCII: %v", err)
	}
}

func TestMailerTrouble(t *testing.T) {
	refusing := smtptest.NewUpstream(t, smtptest.Options{Faults: map[smtptest.Point]smtptest.Fault{
		{Step: smtptest.Rcpt, Nth: 1}: smtptest.Say("550 5.1.1 <taro@mail.example> unknown")}})
	m := newTestMailer(t, refusing, "saiyo@sample.example.jp")
	err := m.Send(t.Context(), receipts["Japanese"])
	if err == nil || strings.Contains(err.Error(), "taro") || testutil.ToFloat64(m.mails.WithLabelValues("refused")) != 1 {
		t.Errorf("refused: %v", err)
	}
	letter := receipts["Japanese"]
	letter.Company = "unknown"
	if err := m.Send(t.Context(), letter); err == nil || !strings.Contains(err.Error(), `"unknown" has no sender`) {
		t.Errorf("no sender: %v", err)
	}
	away := newTestMailer(t, refusing, "saiyo@sample.example.jp")
	refusing.Stop()
	if err := away.Send(t.Context(), receipts["Japanese"]); err == nil || testutil.ToFloat64(away.mails.WithLabelValues("failed")) != 1 {
		t.Errorf("away: %v", err)
	}
}

// TestNoSender: a company without a sender has pages that say so.
func TestNoSender(t *testing.T) {
	r := newRelay(t)
	without := bytes.ReplaceAll([]byte(r.text()), []byte("    sender:"), []byte("    # sender:"))
	r.write(t, string(without))
	s := r.serve(t)
	base, err := url.Parse("http://" + s.web)
	if err != nil {
		t.Fatal(err)
	}
	if page := newCandidate(web.StaticLink(base, "sample"), "").open(t, "GET"); page.status != 404 {
		t.Errorf("company's link without a sender: %d", page.status)
	}
}
