package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Mailer sends the few mails that a candidate asks for by a form: the proof of
// another address and the receipt. It must put the mail on its way or fail within
// the context's time. Nothing else is ever sent: no reminder, no second notice.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}

// Mail is one mail in the candidate's language. It holds personal data and a
// link: log none of it.
type Mail struct {
	Company  string // id; its upstream carries the mail
	To       string // the address that the candidate typed
	Language string // "ja" or "en"
	Subject  string
	Text     string // text/plain, UTF-8, lines end in \n
	HTML     string // text/html, the same content
}

// LogValue hides the mail from slog.
func (m Mail) LogValue() slog.Value { return slog.StringValue("<mail>") }

// mailTime bounds how long a visitor waits for a mail to be handed over.
const mailTime = 20 * time.Second

// letter is what the mails' templates see besides the page's own values.
type letter struct {
	Kind string // prove, receipt, link
	Link string // what to open
	Stop string // the way to stop, or ""
}

// canMail tells whether mails can be sent for the visit's company.
func (p *Pages) canMail(v *visit) bool { return p.o.Mailer != nil && v.company.Mails }

// send makes a mail and hands it over.
func (p *Pages) send(ctx context.Context, v *visit, to string, l letter) error {
	d := page{Lang: v.lang, Company: v.company.Name, Host: v.company.PublicURL.Host, Letter: l, Referral: v.referral,
		At: p.o.Now(), Consent: p.consent(v)}
	html, err := p.pages.render("mail", d)
	if err != nil {
		return err
	}
	text, err := p.pages.renderText(d)
	if err != nil {
		return err
	}
	subject, err := p.pages.text(v.lang, "mail_"+l.Kind+"_subject")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	return p.o.Mailer.Send(ctx, Mail{Company: v.company.ID, To: to, Language: v.lang, Subject: subject,
		Text: strings.TrimSpace(text) + "\n", HTML: string(html)})
}

// proveAddress sends the code to the typed address and says so. What was typed
// is kept by the browser alone.
func (p *Pages) proveAddress(w http.ResponseWriter, r *http.Request, v *visit, f Form) {
	if !p.mails.allow(string(v.token)) || !p.mails.allow("to "+store.Normalize(f.Mail)) {
		p.tooMany(w, r)
		return
	}
	link, stop := LinkTo(v.company.PublicURL)(v.token)
	if err := p.send(r.Context(), v, f.Mail, letter{Kind: "prove", Link: link + "/m/" + p.typed.make(v.token, f.Mail), Stop: stop}); err != nil {
		p.trouble(w, r, "send confirmation mail", err)
		return
	}
	p.typed.keep(w, v.token, f, p.overTLS(r))
	p.page(w, r, http.StatusOK, "sent", v, page{Form: f})
}

// sendReceipt tells by mail what was agreed to and how to take it back. Its
// failure changes nothing about the consent, which is recorded already.
func (p *Pages) sendReceipt(ctx context.Context, v *visit, to string) {
	if !p.canMail(v) {
		return
	}
	link, _ := LinkTo(v.company.PublicURL)(v.token)
	if err := p.send(ctx, v, to, letter{Kind: "receipt", Link: link + "/done"}); err != nil {
		p.o.Logger.Warn("send receipt", slog.String("company", v.company.ID), slog.Any("err", err))
	}
}
