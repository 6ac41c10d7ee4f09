package store

import "time"

// Exposure is what a store held of a person in a range of time.
type Exposure int

// The exposures, the later the more.
const (
	ExposedNothing Exposure = iota
	ExposedHash             // a keyed hash alone
	ExposedErased           // a sealed profile, of somebody who withdrew or was erased since
	ExposedProfile          // a sealed profile
)

// Exposed says what the store held of r's person between from and to (not
// included). keep is how long profiles are kept after the hand-over: when one was
// dropped is not written down, so that time counts as kept in full. What a link
// was before a withdrawal and a new consent is not known any more.
func (r Referral) Exposed(from, to time.Time, keep time.Duration) Exposure {
	if !r.OfferedAt.Before(to) {
		return ExposedNothing
	}
	profile := !r.OptedInAt.IsZero() && r.OptedInAt.Before(to)
	switch {
	case profile && !r.WithdrawnAt.IsZero():
		if r.WithdrawnAt.After(from) {
			return ExposedErased
		}
	case profile && r.Consent != nil && (r.Consent.Profile != nil || r.HandedOverAt.Add(keep).After(from)):
		return ExposedProfile
	}
	if r.Person == "" {
		return ExposedNothing
	}
	return ExposedHash
}
