package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// PaceSlot is the time that one Pace covers, and PaceLife how long it is kept:
// four weeks hold what is normal for a company.
const (
	PaceSlot = 5 * time.Minute
	PaceLife = 28 * 24 * time.Hour
)

// Pace is how many links a company's mail was to carry within one slot.
type Pace struct {
	Company string    `json:"-"`
	Slot    time.Time `json:"slot"` // its beginning: UTC, a multiple of PaceSlot
	Allowed int64     `json:"allowed,omitempty"`
	Refused int64     `json:"refused,omitempty"` // by the burst guard
}

// PaceAt is a company's slot that holds an instant, with nothing counted.
func PaceAt(company string, at time.Time) Pace {
	return Pace{Company: company, Slot: at.UTC().Truncate(PaceSlot)}
}

// Check says what is wrong with a pace that is to be added.
func (p Pace) Check() error {
	if p.Company == "" || hasControl(p.Company) {
		return fmt.Errorf("pace: bad company id %q", p.Company)
	}
	if p.Slot != PaceAt("", p.Slot).Slot || p.Slot.Unix() < 0 {
		return errors.New("pace: not the beginning of a slot")
	}
	if p.Allowed < 0 || p.Refused < 0 {
		return errors.New("pace: a count below zero")
	}
	return nil
}

// Paces is the memory of the burst guard. It outlives the process, and relays
// that share a store share it.
type Paces interface {
	// AddPace adds the counts to p's slot, and forgets the company's slots that
	// begin more than PaceLife before it.
	AddPace(ctx context.Context, p Pace) error
	// Pace returns the company's slots that begin at or after since, oldest first.
	Pace(ctx context.Context, company string, since time.Time) ([]Pace, error)
}
