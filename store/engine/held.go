package engine

import (
	"context"
	"errors"

	"github.com/careerrelay/careerrelay/store"
)

// Hold implements store.People.
func (e *Engine) Hold(ctx context.Context, h store.Held) error {
	if h.Code == "" || h.Until.IsZero() {
		return errors.New("hold consent: no code or no time")
	}
	err := e.db.Write(ctx, func(t Tx) error {
		if _, err := t.Row(h.Referral); err != nil {
			return err
		}
		hash := h.Code.Hash()
		c := h.Consent
		if c.At.IsZero() {
			c.At = e.now() // the moment of agreeing, not of confirming
		}
		c.At = store.Clock(c.At)
		return t.PutHeld(Held{Hash: hash[:], Referral: h.Referral, Consent: &c, Until: store.Clock(h.Until)})
	})
	return wrap("hold consent", err)
}

// Release implements store.People. The code stays until its time is over, without
// the profile, so that opening the mailed link twice is no error.
func (e *Engine) Release(ctx context.Context, code store.Token) (store.Referral, error) {
	var got store.Referral
	hash := code.Hash()
	err := e.look(ctx, func(t Tx) error {
		_, err := t.Held(hash[:])
		return err
	})
	if err == nil {
		err = e.db.Write(ctx, func(t Tx) error {
			r, err := e.release(t, hash[:])
			if err == nil {
				got = r.Referral
			}
			return err
		})
	}
	return got, wrap("release consent", err)
}

func (e *Engine) release(t Tx, hash []byte) (*Row, error) {
	h, err := t.Held(hash)
	if err != nil {
		return nil, err
	}
	r, err := t.Row(h.Referral)
	if err != nil {
		return nil, err
	}
	// Now that the referral is locked: was the consent released or dropped meanwhile?
	if h, err = t.Held(hash); err != nil {
		return nil, err
	}
	now := e.now()
	if !now.Before(h.Until) {
		return nil, store.ErrExpired
	}
	if h.Consent == nil {
		return r, nil
	}
	c := *h.Consent
	h.Consent = nil
	return r, errors.Join(t.PutHeld(h), e.optIn(t, r, c, now))
}
