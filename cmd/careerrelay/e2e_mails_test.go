package main

import (
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/web"
)

// awaitMail waits until the mailbox holds a mail to an address whose subject
// says this, and reads it as a stranger does.
func (h *hop) awaitMail(t *testing.T, to, subject string) (arrived, *mail.Message) {
	t.Helper()
	var found arrived
	var message *mail.Message
	await(t, "a mail that says "+subject, func() bool {
		for _, raw := range h.mailbox.Mails(t) {
			m, err := mail.ReadMessage(strings.NewReader(raw))
			if err != nil {
				continue
			}
			if m.Header.Get("To") == "<"+to+">" && strings.Contains(decodedHeader(t, m, "Subject"), subject) {
				found, message = arrived{raw: crlf(raw)}, m
				return true
			}
		}
		return false
	})
	return found, message
}

// mailedLinks are the addresses of pages in a mail, the same in text and HTML.
func mailedLinks(t *testing.T, a arrived, form string) string {
	t.Helper()
	link := ""
	for kind, text := range a.texts(t) {
		m := regexp.MustCompile(form).FindString(text)
		if m == "" || link != "" && m != link {
			t.Fatalf("the %s part leads to %q, another part to %q:\n%s", kind, m, link, text)
		}
		link = m
	}
	return link
}

// checkOwnMail: nobody shall answer it, and no relay edit it.
func checkOwnMail(t *testing.T, m *mail.Message) {
	t.Helper()
	if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("X-Career-Relay") == "" || m.Header.Get("List-Unsubscribe") != "" ||
		m.Header.Get("Message-Id") == "" || m.Header.Get("Date") == "" {
		t.Errorf("header of an own mail: %v", m.Header)
	}
	if from := decodedHeader(t, m, "From"); from != "株式会社サンプル 採用担当 <saiyo@sample.example.jp>" {
		t.Errorf("from %s", from)
	}
}

// hopOtherAddress: a candidate types another address than the mail's. It counts
// when the mail that goes there was used, and not before.
func hopOtherAddress(t *testing.T, h *hop) {
	sent := h.letter(t, "iso-2022-jp", 1)
	other := "another." + sent.to
	c := newCandidate(h.deliver(t, sent).link(t), other)
	token := c.link[strings.LastIndexByte(c.link, '/'):]
	page, err := c.submit(c.open(t, http.MethodGet), token, c.fill())
	if err != nil || !strings.Contains(page.body, "メールをお送りしました") {
		t.Fatalf("another address: %v\n%s", err, page.body)
	}
	proof, m := h.awaitMail(t, other, "メールアドレスのご確認")
	checkOwnMail(t, m)
	want := reportRow{Seen: 1, Matched: 1, Inserted: 1, Sent: 1, OpenedMachine: 1}
	if got := h.report(t); got.OptedIn != 0 || got.Counted != 0 {
		t.Fatalf("counted before the proof: %+v", got)
	}
	confirmed, err := c.ask(http.MethodGet, mailedLinks(t, proof, `http://[^\s"<]+/r/[a-z2-7]{26}/m/[a-z2-7]{32}`), nil)
	if err != nil || !strings.Contains(confirmed.body, `value="山田"`) || strings.Contains(confirmed.body, " checked") {
		t.Fatalf("back from the mail: %v\n%s", err, confirmed.body)
	}
	if page, err = c.submit(confirmed, token, c.fill()); err == nil {
		page, err = c.submit(page, token+"/apply", nil)
	}
	if err != nil || !strings.HasSuffix(page.at.Path, token+"/done") {
		t.Fatalf("apply: %v at %v", err, page.at)
	}
	want.OptedIn, want.Counted = 1, 1
	h.awaitReport(t, want)

	receipt, m := h.awaitMail(t, other, "お申し込みの控え")
	checkOwnMail(t, m)
	link := mailedLinks(t, receipt, `http://[^\s"<]+/r/[a-z2-7]{26}/done`)
	page, err = c.ask(http.MethodGet, link, nil)
	if err != nil || page.status != http.StatusOK {
		t.Fatalf("receipt: %v, %d", err, page.status)
	}
	if page, err = c.submit(page, token+"/withdraw", nil); err == nil || !strings.Contains(page.body, "撤回しました") {
		t.Errorf("withdraw: %v\n%s", err, page.body) // it is taken at once: taking back is never too hasty
	}
	want.Counted = 0
	h.awaitReport(t, want)
}

// hopStatic: no mail passed the relay. The address typed on the company's page
// gets a link, which counts when it was used to apply.
func hopStatic(t *testing.T, h *hop) {
	base, err := url.Parse("http://" + h.web)
	if err != nil {
		t.Fatal(err)
	}
	c := newCandidate(web.StaticLink(base, "sample"), "static."+h.name+"@"+candidateDomain)
	page, err := c.submit(c.open(t, http.MethodGet), "/c/sample", url.Values{"mail": {c.mail}})
	if err != nil || !strings.Contains(page.body, "メールをお送りしました") {
		t.Fatalf("ask for the link: %v\n%s", err, page.body)
	}
	got, m := h.awaitMail(t, c.mail, "お申し込みページのご案内")
	checkOwnMail(t, m)
	h.awaitReport(t, reportRow{Sent: 1})
	c.link = mailedLinks(t, got, `http://[^\s"<]+/r/[a-z2-7]{26}`)
	optInAll(t, c)
	h.awaitReport(t, reportRow{Sent: 1, OpenedMachine: 1, OptedIn: 1, Counted: 1})
	h.awaitMail(t, c.mail, "お申し込みの控え")
}
