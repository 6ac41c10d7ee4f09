package web

import (
	"net/http"
	"net/url"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// formCodeLife is how long the agency can report a registration through its own
// form.
const formCodeLife = 30 * 24 * time.Hour

// toForm sends the candidate to the agency's own form. Nothing typed is kept,
// because nothing is typed: the agency gets a code, and the consent to hand that
// over waits until it reports a registration. Going there counts nothing, so that
// a machine that presses every button changes nothing either.
func (p *Pages) toForm(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.referral.State == store.OptedIn {
		http.Redirect(w, r, v.prefix+"/done", http.StatusSeeOther)
		return
	}
	if !p.guard(w, r, v) {
		return
	}
	if r.PostFormValue("hand_over") != "yes" {
		p.form(w, r, http.StatusUnprocessableEntity, v, Form{}, []string{"hand_over"}, "")
		return
	}
	code, text := store.NewToken(), p.consent(v)
	err := p.o.Referrals.Hold(r.Context(), store.Held{Code: code, Referral: v.referral.ID, Until: p.o.Now().Add(formCodeLife),
		Consent: store.Consent{TextID: text.ID, TextSHA256: text.SHA256, Locale: v.lang, At: p.o.Now().UTC(), Method: "agency_form"}})
	if err != nil {
		p.trouble(w, r, "hold consent", err)
		return
	}
	to := *p.o.AgencyForm
	q := to.Query()
	q.Set("ref", string(code))
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// consent is the current text of the visit's programme and language.
func (p *Pages) consent(v *visit) consentText { return p.pages.consents[p.family(v)+"-"+v.lang] }

// family names the text that is agreed to.
func (p *Pages) family(v *visit) string {
	switch {
	case p.o.AgencyForm != nil:
		return "form"
	case v.referral.Kind == store.KindLeaver:
		return "leaver"
	}
	return "optin"
}

// formHost is the host as the form's page shows it; "" without a form of the agency.
func formHost(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Hostname()
}
