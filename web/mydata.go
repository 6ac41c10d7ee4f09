package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// The own data of a candidate. The link alone does not show them, since mails are
// forwarded: the visitor types the address once more, and gets a nonce that opens
// this page in this browser for a while.

// errNoProfile says that there is nothing to show any more.
var errNoProfile = errors.New("no profile is kept")

// profile opens what the candidate typed.
func (p *Pages) profile(ref store.Referral) (Form, error) {
	if ref.State != store.OptedIn || ref.Consent == nil || ref.Consent.Profile == nil {
		return Form{}, errNoProfile
	}
	text, err := p.o.Open(ref.ID, ref.Consent.Profile)
	if err != nil {
		return Form{}, fmt.Errorf("open profile: %w", err)
	}
	var f Form
	if err := json.Unmarshal(text, &f); err != nil {
		return Form{}, errors.New("read profile: not the form's JSON") // the error's text could repeat data
	}
	return f, nil
}

// dataDoor asks for the address.
func (p *Pages) dataDoor(w http.ResponseWriter, r *http.Request, v *visit) {
	p.door(w, r, http.StatusOK, v, nil)
}

func (p *Pages) door(w http.ResponseWriter, r *http.Request, status int, v *visit, wrong []string) {
	p.page(w, r, status, "door", v, page{Nonce: p.forms.issue(w, r, v.token, forForm, p.overTLS(r)), Wrong: wrong})
}

// data shows the own data to whoever typed the address that belongs to them.
func (p *Pages) data(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.readable(w, r) {
		return
	}
	if state := p.forms.check(r, v.token, forForm); state != formGood {
		p.door(w, r, http.StatusUnprocessableEntity, v, []string{string(state)})
		return
	}
	if !p.allowed(w, r, v) {
		return
	}
	f, err := p.profile(v.referral)
	mail := cleanText(r.PostFormValue("mail"))
	same := p.sameAddress(v, mail) || err == nil && store.Normalize(mail) == store.Normalize(f.Mail)
	switch {
	case !same:
		p.door(w, r, http.StatusUnprocessableEntity, v, []string{"nomatch"})
	case errors.Is(err, errNoProfile):
		p.showData(w, r, http.StatusOK, v, Form{}, nil, false)
	case err != nil:
		p.trouble(w, r, "read profile", err)
	default:
		p.showData(w, r, http.StatusOK, v, f, nil, false)
	}
}

// showData is the page with the data and what can be done with them.
func (p *Pages) showData(w http.ResponseWriter, r *http.Request, status int, v *visit, f Form, wrong []string, saved bool) {
	p.page(w, r, status, "data", v, page{Form: f, Wrong: wrong, Saved: saved,
		Nonce: p.forms.issue(w, r, v.token, forData, p.overTLS(r))})
}

// proven runs before everything that the data page can do.
func (p *Pages) proven(next func(http.ResponseWriter, *http.Request, *visit)) func(http.ResponseWriter, *http.Request, *visit) {
	return func(w http.ResponseWriter, r *http.Request, v *visit) {
		if !p.readable(w, r) {
			return
		}
		if p.forms.check(r, v.token, forData) != formGood {
			p.door(w, r, http.StatusUnprocessableEntity, v, []string{string(formStale)})
			return
		}
		if !p.allowed(w, r, v) {
			return
		}
		next(w, r, v)
	}
}

// saveData corrects the data. The address stays: another one would need a proof.
func (p *Pages) saveData(w http.ResponseWriter, r *http.Request, v *visit) {
	old, err := p.profile(v.referral)
	if err != nil {
		p.noProfile(w, r, err)
		return
	}
	f, _ := readForm(r) // judged below, with what cannot be changed here
	f.Mail, f.Adult, f.HandOver, f.TellBack, f.JobNews = old.Mail, old.Adult, old.HandOver, old.TellBack, old.JobNews
	if wrong := f.wrong(); len(wrong) > 0 {
		p.showData(w, r, http.StatusUnprocessableEntity, v, f, wrong, false)
		return
	}
	box, err := p.sealForm(v.referral.ID, f)
	if err != nil {
		p.trouble(w, r, "seal profile", err)
		return
	}
	if !p.noted(w, r, v, "correct") {
		return
	}
	if err := p.o.Referrals.SetProfile(r.Context(), v.referral.ID, v.referral.Consent.Profile, box); err != nil {
		p.noProfile(w, r, err)
		return
	}
	p.showData(w, r, http.StatusOK, v, f, nil, true)
}

// noted writes into the journal what a person asks for, before it is done. What
// cannot be noted is not done.
func (p *Pages) noted(w http.ResponseWriter, r *http.Request, v *visit, action string) bool {
	_, err := p.o.Referrals.Note(r.Context(), store.Note{Kind: store.NoteRequest, Actor: "candidate", Action: action,
		Company: v.company.ID, Referral: v.referral.ID})
	if err != nil {
		p.trouble(w, r, "note a request", err)
	}
	return err == nil
}

func (p *Pages) noProfile(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errNoProfile) || errors.Is(err, store.ErrWrongState) {
		p.failPage(w, r, http.StatusConflict, "closed")
		return
	}
	p.trouble(w, r, "change profile", err)
}

// ownData is the export: everything that is kept and can be told apart from
// others' data.
type ownData struct {
	Company     string     `json:"company"`
	Agency      string     `json:"agency"`
	State       string     `json:"state"`
	OfferedAt   time.Time  `json:"offered_at"`
	SentAt      *time.Time `json:"sent_at,omitempty"`
	ConsentAt   *time.Time `json:"consent_at,omitempty"`
	ConsentText string     `json:"consent_text,omitempty"`
	ConsentHash string     `json:"consent_text_sha256,omitempty"`
	Method      string     `json:"consent_method,omitempty"`
	TellBack    bool       `json:"tell_company"`
	JobNews     bool       `json:"job_news"`
	HandedOver  *time.Time `json:"handed_over_at,omitempty"`
	WithdrawnAt *time.Time `json:"withdrawn_at,omitempty"`
	Stopped     bool       `json:"notices_stopped"`
	Views       int        `json:"page_views"`
	Profile     *Form      `json:"profile,omitempty"`
}

func (p *Pages) ownData(v *visit) (ownData, error) {
	ref := v.referral
	d := ownData{Company: v.company.Name, Agency: p.o.Agency.Name, State: string(ref.State), OfferedAt: ref.OfferedAt,
		SentAt: known(ref.SentAt), HandedOver: known(ref.HandedOverAt), WithdrawnAt: known(ref.WithdrawnAt),
		Stopped: ref.OptedOut, Views: ref.Human + ref.Machine}
	if c := ref.Consent; c != nil {
		d.ConsentAt, d.ConsentText, d.ConsentHash, d.Method = known(c.At), c.TextID, c.TextSHA256, c.Method
		d.TellBack, d.JobNews = c.TellBack, c.JobNews
	}
	f, err := p.profile(ref)
	switch {
	case err == nil:
		d.Profile = &f
	case !errors.Is(err, errNoProfile):
		return d, err
	}
	return d, nil
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// exportJSON gives the data for a program.
func (p *Pages) exportJSON(w http.ResponseWriter, r *http.Request, v *visit) {
	d, err := p.ownData(v)
	if err != nil {
		p.trouble(w, r, "export data", err)
		return
	}
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(d); err != nil {
		p.trouble(w, r, "export data", err)
		return
	}
	if p.noted(w, r, v, "export") {
		p.download(w, "application/json", "my-data.json", b.Bytes())
	}
}

// exportText gives the data for a reader.
func (p *Pages) exportText(w http.ResponseWriter, r *http.Request, v *visit) {
	d, err := p.ownData(v)
	if err != nil {
		p.trouble(w, r, "export data", err)
		return
	}
	b, err := p.pages.exportText(v.lang, d)
	if err != nil {
		p.trouble(w, r, "export data", err)
		return
	}
	if p.noted(w, r, v, "export") {
		p.download(w, "text/plain; charset=utf-8", "my-data.txt", b)
	}
}

func (p *Pages) download(w http.ResponseWriter, kind, name string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", "attachment; filename="+name)
	w.Write(b) // the visitor may be gone; nothing depends on it
}

// erase deletes what leads to the person.
func (p *Pages) erase(w http.ResponseWriter, r *http.Request, v *visit) {
	if r.PostFormValue("sure") != "yes" {
		f, err := p.profile(v.referral)
		if err != nil && !errors.Is(err, errNoProfile) {
			p.trouble(w, r, "read profile", err)
			return
		}
		p.showData(w, r, http.StatusUnprocessableEntity, v, f, []string{"sure"}, false)
		return
	}
	if !p.noted(w, r, v, "erase") {
		return
	}
	if _, err := p.o.Referrals.Erase(r.Context(), v.referral.ID); err != nil {
		p.trouble(w, r, "erase", err)
		return
	}
	p.typed.forget(w, p.overTLS(r))
	p.page(w, r, http.StatusOK, "erased", v, page{})
}
