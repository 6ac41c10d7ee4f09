package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/careerrelay/careerrelay/store"
)

// The link of a company, /c/<company>, is for recruiting systems whose mails do
// not pass a relay: it stands in the company's template, the same for everyone;
// /c/<company>/leaver is that for people who leave the company.
// The visitor types an address; the personal link goes there by mail. From there
// on everything is as with a mail that was relayed, and nothing counts before.

// Offers is what the link of a company needs of the store besides Referrals.
type Offers interface {
	Offer(ctx context.Context, o store.Offer) (store.Referral, error)
	Confirm(ctx context.Context, t store.Token) error
}

// Issuer makes the keys of an offer; see store.Keys.
type Issuer interface {
	Token(company, messageKey, address string) store.Token
	Key(company, messageKey, address string) string
}

// staticKey stands where a relayed mail has its Message-ID: one person who asks
// twice gets the same link twice.
const staticKey = "static link"

// StaticLink is the link for the templates of a company.
func StaticLink(base *url.URL, company string) string {
	return strings.TrimRight(base.String(), "/") + "/c/" + url.PathEscape(company)
}

// withCompany finds the company of the path; its own host only.
func (p *Pages) withCompany(kind string, next func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{lang: language(r, ""), referral: store.Referral{Company: r.PathValue("company"), Kind: kind}}
		if p.o.Offers == nil || p.o.Issuer == nil || !p.owner(v, r) || !p.canMail(v) {
			p.failPage(w, r, http.StatusNotFound, "unknown")
			return
		}
		v.static = root(r) + "/c/" + url.PathEscape(v.company.ID)
		if kind == store.KindLeaver {
			v.static += "/leaver"
		}
		next(w, r, v)
	}
}

func (p *Pages) askAddress(w http.ResponseWriter, r *http.Request, v *visit) {
	p.ask(w, r, http.StatusOK, v, nil)
}

// staticToken takes a token's place in the nonce of a company's form.
func staticToken(v *visit) store.Token { return store.Token("c/" + v.company.ID) }

func (p *Pages) ask(w http.ResponseWriter, r *http.Request, status int, v *visit, wrong []string) {
	f := Form{Mail: cleanText(r.PostFormValue("mail"))}
	p.page(w, r, status, "ask", v, page{Form: f, Wrong: wrong,
		Nonce: p.forms.issue(w, r, staticToken(v), forForm, p.overTLS(r))})
}

// mailLink sends the personal link. The answer is the same whether or not the
// address is known here or has opted out, so that nobody learns it by asking.
func (p *Pages) mailLink(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.readable(w, r) {
		return
	}
	if state := p.forms.check(r, staticToken(v), forForm); state != formGood {
		p.ask(w, r, http.StatusUnprocessableEntity, v, []string{string(state)})
		return
	}
	address := cleanText(r.PostFormValue("mail"))
	switch {
	case !validMail(address):
		p.ask(w, r, http.StatusUnprocessableEntity, v, []string{"mail"})
		return
	case v.company.owns(address):
		p.ask(w, r, http.StatusUnprocessableEntity, v, []string{"ownmail"})
		return
	}
	if !p.firms.allow(v.company.ID) || !p.mails.allow("to "+store.Normalize(address)) {
		p.tooMany(w, r)
		return
	}
	if err := p.offerByMail(r.Context(), v, address); err != nil {
		p.trouble(w, r, "send link", err)
		return
	}
	p.page(w, r, http.StatusOK, "sent", v, page{Form: Form{Mail: address}})
}

// offerByMail records the offer, then sends it. Whoever opted out gets no mail.
// Anyone else who asks gets the link, also a second time: a mail gets lost.
func (p *Pages) offerByMail(ctx context.Context, v *visit, address string) error {
	id := v.company.ID
	token := p.o.Issuer.Token(id, staticKey, address)
	ref, err := p.o.Offers.Offer(ctx, store.Offer{Key: p.o.Issuer.Key(id, staticKey, address), Token: token, Company: id,
		Person: p.o.Person(id, address), Kind: v.referral.Kind, Rule: "static_link", Language: v.lang, Test: v.company.Test, Asked: true})
	switch {
	case errors.Is(err, store.ErrOffered):
		p.o.Logger.Info("link not sent", slog.String("company", id), slog.String("reason", "too many links"))
		return nil
	case err != nil:
		return err
	case ref.OptedOut:
		p.o.Logger.Info("link not sent", slog.String("company", id), slog.String("reason", "opted out"))
		return nil
	}
	link, stop := LinkTo(v.company.PublicURL)(token)
	if err := p.send(ctx, v, address, letter{Kind: "link", Link: link, Stop: stop}); err != nil {
		return err
	}
	return p.o.Offers.Confirm(ctx, token)
}
