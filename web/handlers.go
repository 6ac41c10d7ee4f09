package web

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// landing shows who writes, what is offered, and the form.
func (p *Pages) landing(w http.ResponseWriter, r *http.Request, v *visit) {
	view := p.views.begin(r, v.referral, v.token)
	if v.referral.State == store.OptedIn {
		p.page(w, r, http.StatusOK, "done", v, page{View: view})
		return
	}
	p.form(w, r, http.StatusOK, v, Form{}, nil, view)
}

// form shows the form with what was typed and what needs another look.
func (p *Pages) form(w http.ResponseWriter, r *http.Request, status int, v *visit, f Form, wrong []string, view string) {
	nonce := p.forms.issue(w, v.token, p.overTLS(r))
	p.page(w, r, status, "landing", v, page{Form: f, Wrong: wrong, Nonce: nonce, View: view})
}

// guard runs before every form that changes something.
func (p *Pages) guard(w http.ResponseWriter, r *http.Request, v *visit) bool {
	if err := r.ParseForm(); err != nil {
		p.failPage(w, r, http.StatusBadRequest, "badform")
		return false
	}
	if !p.limits.allow(v.token) {
		w.Header().Set("Retry-After", "300")
		p.failPage(w, r, http.StatusTooManyRequests, "toomany")
		return false
	}
	if r.PostFormValue("website") != "" { // the trap: people do not see the field
		p.failPage(w, r, http.StatusBadRequest, "badform")
		return false
	}
	if state := p.forms.check(r, v.token); state != formGood {
		f, _ := readForm(r)
		p.form(w, r, http.StatusUnprocessableEntity, v, f, []string{string(state)}, "0")
		return false
	}
	return true
}

// review shows what was typed once more; nothing is stored yet.
func (p *Pages) review(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.guard(w, r, v) {
		return
	}
	f, wrong := p.checked(r, v)
	if len(wrong) > 0 {
		p.form(w, r, http.StatusUnprocessableEntity, v, f, wrong, "0")
		return
	}
	p.page(w, r, http.StatusOK, "review", v, page{Form: f, Nonce: p.forms.issue(w, v.token, p.overTLS(r)), View: "0"})
}

// checked reads the form and compares the typed address with the mail's.
func (p *Pages) checked(r *http.Request, v *visit) (Form, []string) {
	f, wrong := readForm(r)
	typed := p.o.Person(v.referral.Company, f.Mail)
	if validMail(f.Mail) && subtle.ConstantTimeCompare([]byte(typed), []byte(v.referral.Person)) != 1 {
		wrong = append(wrong, "othermail")
	}
	return f, wrong
}

// apply records the consent. It is the only way to opt in.
func (p *Pages) apply(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.guard(w, r, v) {
		return
	}
	f, wrong := p.checked(r, v)
	if len(wrong) > 0 {
		p.form(w, r, http.StatusUnprocessableEntity, v, f, wrong, "0")
		return
	}
	profile, err := json.Marshal(f)
	if err != nil {
		p.trouble(w, r, "write profile", err)
		return
	}
	box, err := p.o.Seal(v.referral.ID, profile)
	if err != nil {
		p.trouble(w, r, "seal profile", err)
		return
	}
	text := p.pages.consents[v.lang]
	_, err = p.o.Referrals.OptIn(r.Context(), v.token, store.Consent{
		TextID: text.ID, TextSHA256: text.SHA256, Locale: v.lang, At: p.o.Now().UTC(), Method: "typed_address",
		TellBack: f.TellBack, JobNews: f.JobNews, Profile: box,
	})
	switch {
	case errors.Is(err, store.ErrWrongState):
		p.failPage(w, r, http.StatusConflict, "closed")
	case err != nil:
		p.trouble(w, r, "record consent", err)
	default:
		http.Redirect(w, r, v.prefix+"/done", http.StatusSeeOther)
	}
}

// done is the receipt. It says nothing personal: the link alone opens it.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.referral.State != store.OptedIn {
		http.Redirect(w, r, v.prefix, http.StatusSeeOther)
		return
	}
	p.page(w, r, http.StatusOK, "done", v, page{View: "0", Nonce: p.forms.issue(w, v.token, p.overTLS(r))})
}

// withdraw takes the consent back.
func (p *Pages) withdraw(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.guard(w, r, v) {
		return
	}
	if _, err := p.o.Referrals.Withdraw(r.Context(), v.referral.ID); err != nil {
		p.trouble(w, r, "withdraw consent", err)
		return
	}
	p.page(w, r, http.StatusOK, "withdrawn", v, page{View: "0"})
}

// stop asks for the one click that ends the notices of this company.
func (p *Pages) stop(w http.ResponseWriter, r *http.Request, v *visit) {
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
	if !p.limits.allow(v.token) {
		w.Header().Set("Retry-After", "300")
		p.failPage(w, r, http.StatusTooManyRequests, "toomany")
		return
	}
	if err := step(r.Context(), v.token); err != nil {
		p.trouble(w, r, name, err)
		return
	}
	p.page(w, r, http.StatusOK, name, v, page{View: "0"})
}

// public serves a page that belongs to no referral.
func (p *Pages) public(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.page(w, r, http.StatusOK, name, p.anonymous(r), page{View: "0"})
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
	p.page(w, r, status, "fail", p.anonymous(r), page{View: "0", Why: why})
}

func (p *Pages) page(w http.ResponseWriter, r *http.Request, status int, name string, v *visit, d page) {
	d.Lang, d.Company, d.Path = v.lang, v.company.Name, v.prefix
	d.Host, d.Referral = r.Host, v.referral
	d.Retained, d.Until = p.o.LinkLife, v.referral.OfferedAt.Add(p.o.LinkLife)
	d.Token = string(v.token)
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

func (p *Pages) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=86400")
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
