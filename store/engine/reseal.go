package engine

import (
	"bytes"
	"context"

	"github.com/careerrelay/careerrelay/store"
)

// resealStep bounds the profiles that one transaction replaces.
const resealStep = 100

// changeProfile returns what a profile becomes, nil to leave it.
type changeProfile = func(referral string, profile []byte) ([]byte, error)

// Reseal implements store.People. Only profiles that change asks to replace cost
// a commit.
func (e *Engine) Reseal(ctx context.Context, change func(referral string, profile []byte) ([]byte, error)) (int64, error) {
	var total int64
	for q := (store.Query{}); ; {
		rows, err := e.page(ctx, q)
		if err != nil {
			return total, wrap("reseal", err)
		}
		if len(rows) == 0 {
			break
		}
		q.After = rows[len(rows)-1].ID
		n, err := e.resealRows(ctx, rows, change)
		total += n
		if err != nil {
			return total, wrap("reseal", err)
		}
	}
	n, err := e.resealHelds(ctx, change)
	return total + n, wrap("reseal", err)
}

// resealRows replaces the profiles of a page.
func (e *Engine) resealRows(ctx context.Context, rows []*Row, change changeProfile) (total int64, err error) {
	var due []string
	for _, r := range rows {
		next, err := resealed(r.ID, r.Consent, change)
		if err != nil {
			return 0, err
		}
		if next != nil {
			due = append(due, r.ID)
		}
	}
	for len(due) > 0 {
		step := due[:min(resealStep, len(due))]
		due = due[len(step):]
		n, err := e.resealSome(ctx, step, change)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

func resealed(id string, c *store.Consent, change changeProfile) ([]byte, error) {
	if c == nil || c.Profile == nil {
		return nil, nil
	}
	return change(id, bytes.Clone(c.Profile)) // it may outlive the transaction
}

func (e *Engine) resealSome(ctx context.Context, ids []string, change changeProfile) (n int64, err error) {
	err = e.db.Write(ctx, func(t Tx) error {
		n = 0
		for _, id := range ids {
			r, err := t.Row(id)
			if err != nil {
				return err
			}
			next, err := resealed(id, r.Consent, change)
			if err != nil {
				return err
			}
			if next == nil {
				continue
			}
			r.Consent.Profile = next
			if err := t.PutRow(r); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// resealHelds is for the few consents that wait for a confirmation.
func (e *Engine) resealHelds(ctx context.Context, change changeProfile) (total int64, err error) {
	var all []Held
	err = e.db.Read(ctx, func(t Tx) (err error) {
		all, err = t.Helds()
		return err
	})
	for _, h := range all {
		if err != nil {
			return total, err
		}
		next, failure := resealed(h.Referral, h.Consent, change)
		if failure != nil {
			return total, failure
		}
		if next == nil {
			continue
		}
		var n int64
		n, err = e.resealHeld(ctx, h.Hash, change)
		total += n
	}
	return total, err
}

func (e *Engine) resealHeld(ctx context.Context, hash []byte, change changeProfile) (n int64, err error) {
	err = e.db.Write(ctx, func(t Tx) error {
		n = 0
		h, err := t.Held(hash)
		if err == nil {
			_, err = t.Row(h.Referral) // whose lock guards it
		}
		if err == nil {
			h, err = t.Held(hash)
		}
		if isGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		next, err := resealed(h.Referral, h.Consent, change)
		if err != nil || next == nil {
			return err
		}
		h.Consent.Profile = next
		n = 1
		return t.PutHeld(h)
	})
	return n, err
}
