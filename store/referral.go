package store

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Defaults of the counting policy. Implementations take others as options.
const (
	DefaultRatio    = 10                  // counted referrals per credit
	DefaultLinkLife = 90 * 24 * time.Hour // how long an unused link works
	DefaultCooling  = 7 * 24 * time.Hour  // withdrawal within this time reverses the count
)

// Clock brings a time into the form that stores keep: UTC, whole microseconds
// (what PostgreSQL keeps), no monotonic reading.
func Clock(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Check says what an offer lacks. Company and rule take no control characters,
// because implementations build keys from them.
func (o Offer) Check() error {
	switch {
	case o.Company == "" || hasControl(o.Company):
		return fmt.Errorf("offer: bad company id %q", o.Company)
	case o.Key == "":
		return fmt.Errorf("offer: no message key")
	case o.Token == "":
		return fmt.Errorf("offer: no token")
	case o.Person == "" || hasControl(string(o.Person)):
		return fmt.Errorf("offer: no person")
	case hasControl(o.Rule):
		return fmt.Errorf("offer: bad rule id %q", o.Rule)
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// NewReferral is the referral that a first offer to a person makes.
func NewReferral(id string, o Offer, now time.Time) Referral {
	r := Referral{ID: id, Company: o.Company, Person: o.Person, Test: o.Test}
	r.carry(o, now)
	return r
}

// Reoffer decides about an offer to a person who has a referral already. known
// says that the same message was offered before, so this is a retry: it gets
// its link again whatever happened since, and a void referral revives. Another
// message takes the referral over while nothing is known to have reached the
// person; after that it gets ErrOffered. A person who asks gets a further link to
// the same referral, and a new life for an expired one.
func (r *Referral) Reoffer(o Offer, known bool, now time.Time) error {
	switch {
	case r.State == Voided, r.State == Offered && !known, r.State == Expired && o.Asked && !known:
		r.carry(o, now)
	case !known && !o.Asked:
		return ErrOffered
	}
	return nil
}

// carry takes over what the offered message says.
func (r *Referral) carry(o Offer, now time.Time) {
	r.Kind, r.Rule, r.Language, r.Stage = o.Kind, o.Rule, o.Language, o.Stage
	r.State, r.OfferedAt = Offered, Clock(now)
}

// Confirm: the upstream took the message. A candidate can be faster than this
// call, so later states only learn the time.
func (r *Referral) Confirm(now time.Time) error {
	switch r.State {
	case Voided:
		return fmt.Errorf("confirm a void referral: %w", ErrWrongState)
	case Erased:
		return nil // an erased row learns nothing more
	case Offered:
		r.State, r.SentAt = Sent, time.Time{}
	}
	if r.SentAt.IsZero() {
		r.SentAt = Clock(now)
	}
	return nil
}

// Void: the upstream refused the message for good. Once a message of this
// referral has reached the person, the refusal of a repeated one changes
// nothing.
func (r *Referral) Void(time.Time) error {
	if r.State == Offered {
		r.State = Voided
	}
	return nil
}

// OptIn records the consent. An offered referral opts in too: a used link proves
// delivery. The first consent stays when the form is sent twice; after a
// withdrawal a new one counts again. The referral counts unless it is a test.
func (r *Referral) OptIn(now time.Time, c Consent) error {
	switch r.State {
	case OptedIn:
		return nil
	case Offered, Sent, Withdrawn:
	case Expired:
		return fmt.Errorf("opt in: %w", ErrExpired)
	default:
		return fmt.Errorf("opt in a referral that is %s: %w", r.State, ErrWrongState)
	}
	if c.At = Clock(c.At); c.At.IsZero() {
		c.At = Clock(now)
	}
	r.State, r.OptedInAt, r.Consent = OptedIn, Clock(now), &c
	r.WithdrawnAt, r.HandedOverAt, r.Agency, r.AgencyAt = time.Time{}, time.Time{}, "", time.Time{}
	r.Counted = !r.Test
	return nil
}

// OptOut marks the person as suppressed for this company, in every state.
func (r *Referral) OptOut(time.Time) error {
	r.OptedOut = true
	return nil
}

// OptBack takes OptOut back.
func (r *Referral) OptBack(time.Time) error {
	r.OptedOut = false
	return nil
}

// Withdraw takes the consent back and drops the profile. Within the cooling-off
// time after the opt-in the count is reversed; later it stays.
func (r *Referral) Withdraw(now time.Time, coolingOff time.Duration) error {
	switch r.State {
	case Withdrawn:
		return nil
	case OptedIn:
	default:
		return fmt.Errorf("withdraw a referral that is %s: %w", r.State, ErrWrongState)
	}
	if now.Sub(r.OptedInAt) < coolingOff {
		r.Counted = false
	}
	c := *r.Consent
	c.Profile, c.Candidate = nil, ""
	r.State, r.Consent, r.WithdrawnAt = Withdrawn, &c, Clock(now)
	return nil
}

// Erase leaves an anonymous row: company, kind, rule, times and whether it
// counts, but nothing that leads to a person. Consent given within the
// cooling-off time is reversed first, as Withdraw does.
func (r *Referral) Erase(now time.Time, coolingOff time.Duration) error {
	if r.State == Erased {
		return nil
	}
	if r.State == OptedIn {
		if err := r.Withdraw(now, coolingOff); err != nil {
			return err
		}
	}
	r.State, r.Person, r.Consent, r.OptedOut = Erased, "", nil, false
	return nil
}

// HandOver: the agency acknowledged the data.
func (r *Referral) HandOver(now time.Time) error {
	if r.State != OptedIn {
		return fmt.Errorf("hand over a referral that is %s: %w", r.State, ErrWrongState)
	}
	if r.HandedOverAt.IsZero() {
		r.HandedOverAt = Clock(now)
	}
	return nil
}

// Report keeps what the agency says about a candidate it was given. It may
// correct itself, so any order is allowed; saying the same again changes nothing.
func (r *Referral) Report(now time.Time, a AgencyState) error {
	switch a {
	case Contacted, Introduced, Interviewed, Hired:
	default:
		return fmt.Errorf("report %q: no such agency state: %w", a, ErrWrongState)
	}
	if r.State != OptedIn || r.HandedOverAt.IsZero() {
		return fmt.Errorf("report on a referral that was not handed over: %w", ErrWrongState)
	}
	if r.Agency != a {
		r.Agency, r.AgencyAt = a, Clock(now)
	}
	return nil
}

// Expire ends an unused referral whose life time is over; see Overdue.
func (r *Referral) Expire(time.Time) error {
	switch r.State {
	case Offered, Sent:
		r.State = Expired
		return nil
	case Expired:
		return nil
	}
	return fmt.Errorf("expire a referral that is %s: %w", r.State, ErrWrongState)
}

// Overdue reports whether the link may no longer be used to opt in. Whoever has
// opted in keeps a working link for as long as the data are kept.
func (r *Referral) Overdue(now time.Time, life time.Duration) bool {
	switch r.State {
	case Expired:
		return true
	case Offered, Sent:
		from := r.OfferedAt
		if r.SentAt.After(from) {
			from = r.SentAt
		}
		return !now.Before(from.Add(life))
	}
	return false
}

// View counts one view of the page.
func (r *Referral) View(machine bool) {
	if machine {
		r.Machine++
	} else {
		r.Human++
	}
}

// String names the referral without saying who it is about.
func (r Referral) String() string {
	return fmt.Sprintf("referral{%s company=%s state=%s}", r.ID, r.Company, r.State)
}

// Format hides person, consent and profile from every verb of fmt.
func (r Referral) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue hides person, consent and profile from slog.
func (r Referral) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", r.ID),
		slog.String("company", r.Company),
		slog.String("state", string(r.State)),
	)
}

// Format hides the consent and its profile from every verb of fmt.
func (c Consent) Format(f fmt.State, _ rune) { io.WriteString(f, "<consent>") }

// LogValue hides the consent and its profile from slog.
func (c Consent) LogValue() slog.Value { return slog.StringValue("<consent>") }

// MarshalText hides person, consent and profile from JSON, as Token.MarshalText
// does. Stores and exports have record types of their own.
func (r Referral) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText hides the consent and its profile from JSON.
func (c Consent) MarshalText() ([]byte, error) { return []byte("<consent>"), nil }
