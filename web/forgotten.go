package web

import (
	"net/http"
	"strings"

	"github.com/careerrelay/careerrelay/store"
)

// The way to stop never ends, but a link does: its referral is deleted after its
// time, and with it the keyed hash that led to the person. Then the address must
// be typed, once. The page says nothing about whether it is known.

// companyHere tells whether a company has its pages on the request's host.
func (p *Pages) companyHere(r *http.Request) bool { return len(p.companiesHere(r)) > 0 }

func (p *Pages) companiesHere(r *http.Request) (here []Company) {
	for _, c := range p.o.Companies {
		if strings.EqualFold(c.PublicURL.Host, r.Host) {
			here = append(here, c)
		}
	}
	return here
}

func (p *Pages) stopByAddress(w http.ResponseWriter, r *http.Request) {
	if !p.companyHere(r) {
		p.failPage(w, r, http.StatusNotFound, "unknown")
		return
	}
	p.forgotten(w, r, http.StatusOK, nil)
}

// stopToken takes a token's place in the nonce of this form.
func stopToken(r *http.Request) store.Token { return store.Token("stop/" + strings.ToLower(r.Host)) }

func (p *Pages) forgotten(w http.ResponseWriter, r *http.Request, status int, wrong []string) {
	v := p.anonymous(r)
	p.page(w, r, status, "forgotten", v, page{Form: Form{Mail: cleanText(r.PostFormValue("mail"))}, Wrong: wrong,
		Nonce: p.forms.issue(w, r, stopToken(r), forForm, p.overTLS(r))})
}

// suppress keeps links from the typed address, for every company of this host.
// There is no undo here: whoever types another's address must not be able to
// take back what that person chose.
func (p *Pages) suppress(w http.ResponseWriter, r *http.Request) {
	if !p.companyHere(r) {
		p.failPage(w, r, http.StatusNotFound, "unknown")
		return
	}
	if !p.readable(w, r) {
		return
	}
	if state := p.forms.check(r, stopToken(r), forForm); state != formGood {
		p.forgotten(w, r, http.StatusUnprocessableEntity, []string{string(state)})
		return
	}
	address := cleanText(r.PostFormValue("mail"))
	if !validMail(address) {
		p.forgotten(w, r, http.StatusUnprocessableEntity, []string{"mail"})
		return
	}
	if !p.firms.allow(string(stopToken(r))) {
		p.tooMany(w, r)
		return
	}
	for _, c := range p.companiesHere(r) {
		if err := p.o.Referrals.Suppress(r.Context(), c.ID, p.o.Person(c.ID, address)); err != nil {
			p.trouble(w, r, "stop", err)
			return
		}
	}
	p.page(w, r, http.StatusOK, "stopped", p.anonymous(r), page{})
}
