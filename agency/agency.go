// Package agency is what faces the recruiting agency: the signed webhook that
// tells it of candidates who asked for its help, the API it answers through, and
// the export for its register (求職管理簿).
//
// The agency sees candidates who opted in, what they typed, and the proof of
// their consent: nothing of the mail, the rule that found it or the selection.
// Every hand-over leaves a record of provision in the store.
package agency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Referrals is what this package needs of the store to look at people.
type Referrals interface {
	Referral(ctx context.Context, id string) (store.Referral, error)
	Referrals(ctx context.Context, q store.Query) ([]store.Referral, error)
	HandOver(ctx context.Context, id string, to store.Receiver) (store.Referral, error)
}

// Desk makes of a referral what the agency gets. Safe for concurrent use.
type Desk struct {
	Referrals Referrals
	// Open unseals a profile; see store.Sealer.Open.
	Open func(referral string, box []byte) ([]byte, error)
	// Company is the name of a company; "" for one that is configured no more.
	Company func(id string) string
	// Receiver is the agency's legal name and address, for the records of provision.
	Receiver func() (name, address string)
}

// Person is a candidate as the agency gets to know him or her.
type Person struct {
	ID           string     `json:"id"` // of the referral: the same in webhook, API and export
	Company      Company    `json:"company"`
	Programme    string     `json:"programme"` // candidate, leaver
	Language     string     `json:"language"`  // ja, en
	State        string     `json:"state"`     // opted_in, withdrawn, erased
	OptedInAt    time.Time  `json:"opted_in_at"`
	HandedOverAt *time.Time `json:"handed_over_at"` // null until the hand-over
	WithdrawnAt  *time.Time `json:"withdrawn_at"`
	Status       string     `json:"status"` // what the agency reported last; "" for nothing yet
	StatusAt     *time.Time `json:"status_at"`
	Consent      *Consent   `json:"consent"` // null once erased
	Profile      *Profile   `json:"profile"` // null where nothing is kept
}

// Company is where the candidate came from.
type Company struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Consent is the proof of what was agreed to.
type Consent struct {
	TextID      string    `json:"text_id"`
	TextSHA256  string    `json:"text_sha256"`
	Locale      string    `json:"locale"`
	At          time.Time `json:"at"`
	Method      string    `json:"method"` // typed_address, confirmed_address, agency_form
	TellCompany bool      `json:"tell_company"`
	JobNews     bool      `json:"job_news"`
}

// Profile is the white list of what is handed over: fields of the form that are
// not named here stay behind.
type Profile struct {
	FamilyName string `json:"family_name"`
	GivenName  string `json:"given_name"`
	Kana       string `json:"kana,omitempty"`
	Mail       string `json:"mail"`
	Phone      string `json:"phone,omitempty"`
	Contact    string `json:"contact"`   // mail, phone
	Frequency  string `json:"frequency"` // asked, monthly, weekly
	Field      string `json:"field,omitempty"`
	Place      string `json:"place,omitempty"`
	When       string `json:"when,omitempty"`
	Wishes     string `json:"wishes,omitempty"`
	Strengths  string `json:"strengths,omitempty"`
	Learn      string `json:"learn,omitempty"`
}

// errProfile says that a profile cannot be read. It repeats none of it.
var errProfile = errors.New("read profile: not the form's JSON")

// Fields names what of the profile was filled in, for the record of provision.
func (p *Profile) Fields() []string {
	var names []string
	for _, f := range []struct{ name, value string }{
		{"family_name", p.FamilyName}, {"given_name", p.GivenName}, {"kana", p.Kana}, {"mail", p.Mail}, {"phone", p.Phone},
		{"contact", p.Contact}, {"frequency", p.Frequency}, {"field", p.Field}, {"place", p.Place}, {"when", p.When},
		{"wishes", p.Wishes}, {"strengths", p.Strengths}, {"learn", p.Learn},
	} {
		if f.value != "" {
			names = append(names, f.name)
		}
	}
	return names
}

// programmes are the words for the agency: that a mail was a refusal is not told.
var programmes = map[string]string{store.KindRejection: "candidate", store.KindLeaver: "leaver"}

// summary is a person without profile.
func (d *Desk) summary(r store.Referral) Person {
	p := Person{
		ID: r.ID, Company: Company{r.Company, d.Company(r.Company)}, Programme: programmes[r.Kind], Language: r.Language,
		State: string(r.State), OptedInAt: r.OptedInAt, HandedOverAt: known(r.HandedOverAt), WithdrawnAt: known(r.WithdrawnAt),
		Status: string(r.Agency), StatusAt: known(r.AgencyAt),
	}
	if p.Programme == "" {
		p.Programme = programmes[store.KindRejection]
	}
	if c := r.Consent; c != nil {
		p.Consent = &Consent{TextID: c.TextID, TextSHA256: c.TextSHA256, Locale: c.Locale, At: c.At, Method: c.Method,
			TellCompany: c.TellBack, JobNews: c.JobNews}
	}
	return p
}

// person is the whole of what the agency may know while the consent holds.
func (d *Desk) person(r store.Referral) (Person, error) {
	p := d.summary(r)
	if r.State != store.OptedIn || r.Consent == nil || r.Consent.Profile == nil {
		return p, nil
	}
	text, err := d.Open(r.ID, r.Consent.Profile)
	if err != nil {
		return p, fmt.Errorf("open profile: %w", err)
	}
	if p.Profile = new(Profile); json.Unmarshal(text, p.Profile) != nil {
		return p, errProfile
	}
	return p, nil
}

// receiver is who gets this person's data, and which.
func (d *Desk) receiver(p Person, ack string) store.Receiver {
	to := store.Receiver{Ack: ack}
	to.Name, to.Address = d.Receiver()
	if p.Profile != nil {
		to.Fields = p.Profile.Fields()
	} else if p.State == string(store.OptedIn) {
		to.Fields = []string{"reference"}
	}
	return to
}

// handOver records that the agency gets this person's data now, unless it has
// them already.
func (d *Desk) handOver(ctx context.Context, r store.Referral, p Person, ack string) (Person, error) {
	if r.State != store.OptedIn || !r.HandedOverAt.IsZero() {
		return p, nil
	}
	r, err := d.Referrals.HandOver(ctx, r.ID, d.receiver(p, ack))
	p.HandedOverAt = known(r.HandedOverAt)
	return p, err
}

// visible tells whether the agency may know of a referral at all: the person
// opted in, or it was told so before the consent ended. Test mode stays inside.
func visible(r store.Referral) bool {
	switch {
	case r.Test:
		return false
	case r.State == store.OptedIn:
		return true
	}
	return !r.HandedOverAt.IsZero() && (r.State == store.Withdrawn || r.State == store.Erased)
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
