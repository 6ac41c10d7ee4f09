package store

import "time"

// Policy is what a store is told about counting and keeping. The zero value has
// sensible defaults.
type Policy struct {
	Now         func() time.Time         // time.Now
	Ratio       int                      // counted referrals per credit; DefaultRatio
	RatioOf     func(company string) int // companies that have another; nil or 0 for Ratio. Called while others wait
	LinkLife    time.Duration            // how long an unused link works; DefaultLinkLife
	Cooling     time.Duration            // withdrawal within it reverses the count; DefaultCooling
	Outbox      bool                     // put events for the agency into the outbox
	Attribution Attribution              // Each
}

// WithDefaults fills in what is zero.
func (p Policy) WithDefaults() Policy {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Ratio < 1 {
		p.Ratio = DefaultRatio
	}
	if p.LinkLife <= 0 {
		p.LinkLife = DefaultLinkLife
	}
	if p.Cooling <= 0 {
		p.Cooling = DefaultCooling
	}
	if p.Attribution == "" {
		p.Attribution = Each
	}
	return p
}

// RatioFor is the number of counted referrals per credit of a company.
func (p Policy) RatioFor(company string) int {
	if p.RatioOf != nil {
		if r := p.RatioOf(company); r > 0 {
			return r
		}
	}
	return p.Ratio
}
