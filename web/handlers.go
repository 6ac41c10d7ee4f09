package web

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// landing shows who writes, what is offered, and the form.
func (p *Pages) landing(w http.ResponseWriter, r *http.Request, v *visit) {
	view := p.views.begin(r, v.referral, v.token)
	if v.referral.State == store.OptedIn {
		p.receipt(w, r, http.StatusOK, v, nil, view)
		return
	}
	p.form(w, r, http.StatusOK, v, Form{}, nil, view)
}

// form shows the form with what was typed and what needs another look.
func (p *Pages) form(w http.ResponseWriter, r *http.Request, status int, v *visit, f Form, wrong []string, view string) {
	nonce := p.forms.issue(w, r, v.token, forForm, p.overTLS(r))
	name := "landing"
	if p.o.AgencyForm != nil {
		name = "handoff"
	}
	p.page(w, r, status, name, v, page{Form: f, Wrong: wrong, Nonce: nonce, View: view, Code: p.code(r, v, f)})
}

// code is the proof that the visitor brought for the typed address, or "". While
// no address is typed, in another browser than before, the form carries it on.
func (p *Pages) code(r *http.Request, v *visit, f Form) string {
	code := r.PathValue("code")
	if code == "" {
		code = r.PostFormValue("code")
	}
	if f.Mail == "" && len(code) == codeLen || p.typed.proves(code, v.token, f.Mail) {
		return code
	}
	return ""
}

// confirmed is where the mail to another address leads. Nothing happens yet: the
// form stands there as it was typed, and the boxes are to be ticked once more.
func (p *Pages) confirmed(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.referral.State == store.OptedIn {
		http.Redirect(w, r, v.prefix+"/done", http.StatusSeeOther)
		return
	}
	f := p.typed.draft(r, v.token)
	if !p.typed.proves(r.PathValue("code"), v.token, f.Mail) {
		p.form(w, r, http.StatusOK, v, Form{}, []string{"elsewhere"}, "") // another browser, or too late
		return
	}
	p.form(w, r, http.StatusOK, v, f, []string{"confirmed"}, "")
}

// readable reads a form, unless something filled in what people do not see.
func (p *Pages) readable(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil || r.PostFormValue("website") != "" {
		p.failPage(w, r, http.StatusBadRequest, "badform")
		return false
	}
	return true
}

// allowed spends one of the link's forms. It comes behind the check of the nonce:
// a form that is sent too fast or too late tries no address, so it costs nothing.
func (p *Pages) allowed(w http.ResponseWriter, r *http.Request, v *visit) bool {
	if !p.limits.allow(string(v.token)) {
		p.tooMany(w, r)
		return false
	}
	return true
}

func (p *Pages) tooMany(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "300")
	p.failPage(w, r, http.StatusTooManyRequests, "toomany")
}

// guard runs before the steps of an application.
func (p *Pages) guard(w http.ResponseWriter, r *http.Request, v *visit) bool {
	if !p.readable(w, r) {
		return false
	}
	if state := p.forms.check(r, v.token, forForm); state != formGood {
		f, _ := readForm(r)
		p.form(w, r, http.StatusUnprocessableEntity, v, f, []string{string(state)}, "")
		return false
	}
	return p.allowed(w, r, v)
}

// edit goes back from the review to the form, with everything typed still there.
func (p *Pages) edit(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.readable(w, r) {
		return
	}
	f, _ := readForm(r)
	p.form(w, r, http.StatusOK, v, f, nil, "")
}

// review shows what was typed once more; nothing is stored yet.
func (p *Pages) review(w http.ResponseWriter, r *http.Request, v *visit) {
	f, ok := p.checked(w, r, v)
	if !ok {
		return
	}
	p.page(w, r, http.StatusOK, "review", v, page{Form: f, Code: p.code(r, v, f),
		Nonce: p.forms.issue(w, r, v.token, forForm, p.overTLS(r))})
}

// checked reads the form and answers itself unless everything is right. A typed
// address that is neither the mail's nor proven gets a mail first.
func (p *Pages) checked(w http.ResponseWriter, r *http.Request, v *visit) (Form, bool) {
	if !p.guard(w, r, v) {
		return Form{}, false
	}
	f, wrong := readForm(r)
	proven := p.sameAddress(v, f.Mail) || p.typed.proves(r.PostFormValue("code"), v.token, f.Mail)
	switch {
	case v.company.owns(f.Mail):
		wrong = append(wrong, "ownmail")
	case !proven && validMail(f.Mail) && !p.canMail(v):
		wrong = append(wrong, "othermail")
	}
	switch {
	case len(wrong) > 0:
		p.form(w, r, http.StatusUnprocessableEntity, v, f, wrong, "")
		return Form{}, false
	case !proven:
		p.proveAddress(w, r, v, f)
		return Form{}, false
	}
	return f, true
}

// sameAddress tells whether the mail with this link went to the typed address.
func (p *Pages) sameAddress(v *visit, typed string) bool {
	hash := p.o.Person(v.referral.Company, typed)
	return subtle.ConstantTimeCompare([]byte(hash), []byte(v.referral.Person)) == 1
}

// sealForm makes of a form what the store keeps.
func (p *Pages) sealForm(referralID string, f Form) ([]byte, error) {
	profile, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return p.o.Seal(referralID, profile)
}

// apply records the consent. It is the only way to opt in.
func (p *Pages) apply(w http.ResponseWriter, r *http.Request, v *visit) {
	f, ok := p.checked(w, r, v)
	if !ok {
		return
	}
	box, err := p.sealForm(v.referral.ID, f)
	if err != nil {
		p.trouble(w, r, "seal profile", err)
		return
	}
	method := "typed_address"
	if !p.sameAddress(v, f.Mail) {
		method = "confirmed_address"
	}
	text := p.consent(v)
	first := v.referral.State != store.OptedIn
	var candidate store.PersonHash
	if p.o.Candidate != nil {
		candidate = p.o.Candidate(f.Mail)
	}
	v.referral, err = p.o.Referrals.OptIn(r.Context(), v.token, store.Consent{
		TextID: text.ID, TextSHA256: text.SHA256, Locale: v.lang, At: p.o.Now().UTC(), Method: method,
		TellBack: f.TellBack, JobNews: f.JobNews, Profile: box, Candidate: candidate,
	})
	switch {
	case errors.Is(err, store.ErrWrongState):
		p.failPage(w, r, http.StatusConflict, "closed")
		return
	case err != nil:
		p.trouble(w, r, "record consent", err)
		return
	}
	if first {
		p.sendReceipt(context.WithoutCancel(r.Context()), v, f.Mail)
	}
	p.typed.forget(w, p.overTLS(r))
	http.Redirect(w, r, v.prefix+"/done", http.StatusSeeOther)
}

// done is the receipt. It says nothing personal: the link alone opens it.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.referral.State != store.OptedIn {
		http.Redirect(w, r, v.prefix, http.StatusSeeOther)
		return
	}
	p.receipt(w, r, http.StatusOK, v, nil, "")
}

// receipt shows the consent text in the words that were agreed to. A text that
// has changed since, with the agency's address for one, is only named.
func (p *Pages) receipt(w http.ResponseWriter, r *http.Request, status int, v *visit, wrong []string, view string) {
	d := page{View: view, Wrong: wrong, Nonce: p.forms.issue(w, r, v.token, forForm, p.overTLS(r))}
	if c := v.referral.Consent; c != nil {
		if text, ok := p.pages.agreed[c.TextID]; ok && text.SHA256 == c.TextSHA256 {
			d.Agreed = &text
		}
	}
	p.page(w, r, status, "done", v, d)
}

// withdraw takes the consent back.
func (p *Pages) withdraw(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.readable(w, r) {
		return
	}
	if state := p.forms.check(r, v.token, forForm); state == formStale {
		p.receipt(w, r, http.StatusUnprocessableEntity, v, []string{"stale"}, "")
		return
	}
	if !p.allowed(w, r, v) {
		return
	}
	if !p.noted(w, r, v, "withdraw") {
		return
	}
	if _, err := p.o.Referrals.Withdraw(r.Context(), v.referral.ID); errors.Is(err, store.ErrWrongState) {
		p.failPage(w, r, http.StatusConflict, "closed")
		return
	} else if err != nil {
		p.trouble(w, r, "withdraw consent", err)
		return
	}
	p.page(w, r, http.StatusOK, "withdrawn", v, page{})
}

// stop asks for the one click that ends the notices of this company.
func (p *Pages) stop(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.referral.ID == "" { // expired: there is nothing to count any more
		p.page(w, r, http.StatusOK, "stop", v, page{})
		return
	}
	p.page(w, r, http.StatusOK, "stop", v, page{View: p.views.begin(r, v.referral, v.token)})
}

// optOut suppresses the person for this company. It asks for nothing but the
// click; a machine that clicks does no harm that optBack does not undo.
func (p *Pages) optOut(w http.ResponseWriter, r *http.Request, v *visit) {
	p.switchNotices(w, r, v, "stopped", p.o.Referrals.OptOut)
}

func (p *Pages) optBack(w http.ResponseWriter, r *http.Request, v *visit) {
	p.switchNotices(w, r, v, "resumed", p.o.Referrals.OptBack)
}

func (p *Pages) switchNotices(w http.ResponseWriter, r *http.Request, v *visit, name string, step func(context.Context, store.Token) error) {
	if !p.stops.allow(string(v.token)) {
		p.tooMany(w, r)
		return
	}
	err := step(r.Context(), v.token)
	if errors.Is(err, store.ErrNotFound) {
		p.failPage(w, r, http.StatusNotFound, "unknown")
		return
	}
	if err != nil {
		p.trouble(w, r, name, err)
		return
	}
	p.page(w, r, http.StatusOK, name, v, page{})
}

// public serves a page that belongs to no referral.
func (p *Pages) public(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.page(w, r, http.StatusOK, name, p.anonymous(r), page{})
	}
}

// anonymous is a visit without a referral.
func (p *Pages) anonymous(r *http.Request) *visit {
	v := &visit{lang: language(r, "")}
	if c := p.companyOf(r); c != nil {
		v.company = *c
	}
	return v
}

// failPage says what went wrong and what to do next, and nothing about the token.
func (p *Pages) failPage(w http.ResponseWriter, r *http.Request, status int, why string) {
	p.page(w, r, status, "fail", p.anonymous(r), page{Why: why})
}

func (p *Pages) page(w http.ResponseWriter, r *http.Request, status int, name string, v *visit, d page) {
	d.Lang, d.Company, d.Path, d.Root, d.Static = v.lang, v.company.Name, v.prefix, root(r), v.static
	d.Host, d.Referral, d.Style = r.Host, v.referral, stylePath
	d.Consent, d.Tells, d.FormHost = p.consent(v), p.o.Tells, formHost(p.o.AgencyForm)
	d.Days = int(p.o.LinkLife.Hours() / 24)
	d.CanSee, d.CanMail = p.o.Open != nil, p.canMail(v)
	d.Switch = strings.TrimPrefix(p.home(r, v, name), d.Root)
	body, err := p.pages.render(name, d)
	if err != nil {
		p.o.Logger.Error("render page", slog.String("page", name), slog.Any("err", err))
		http.Error(w, "sorry, please try again later", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.lang)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // the visitor may be gone; nothing depends on it
	}
}

// home is the page that the switch of languages leads to: the same page where it
// can be read by GET, else the one that its way began with.
func (p *Pages) home(r *http.Request, v *visit, name string) string {
	switch name {
	case "forgotten":
		return root(r) + "/stop"
	case "about", "guide", "stop", "door":
		return r.URL.Path
	case "fail":
		return v.prefix + "/"
	}
	if v.prefix+v.static == "" {
		return root(r) + "/"
	}
	return v.prefix + v.static
}

func (p *Pages) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(styleSheet)
}

// seen is the style sheet's small second half: fetching it is what a browser does
// and a link scanner does not.
func (p *Pages) seen(w http.ResponseWriter, r *http.Request) {
	p.views.confirm(r.PathValue("view"))
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
}

// countView runs outside a request's life: the visitor may be gone already.
func (p *Pages) countView(t store.Token, machine bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.o.Referrals.View(ctx, t, machine); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExpired) {
		p.o.Logger.Warn("count view", slog.Any("err", err))
	}
}
