package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/careerrelay/careerrelay/store"
)

// Hold implements store.People.
func (s *Store) Hold(ctx context.Context, h store.Held) error {
	if h.Code == "" || h.Until.IsZero() {
		return errors.New("hold consent: no code or no time")
	}
	err := s.update(ctx, func(t *txn) error {
		if _, err := t.rowByID(h.Referral); err != nil {
			return err
		}
		hash := h.Code.Hash()
		c := h.Consent
		if c.At.IsZero() {
			c.At = s.now() // the moment of agreeing, not of confirming
		}
		return t.save(bucketHeld, hash[:], heldRecord{Referral: h.Referral, Consent: toConsentRecord(&c), Until: toMicros(store.Clock(h.Until))})
	})
	return wrap("hold consent", err)
}

// Release implements store.People. The code stays until its time is over, without
// the profile, so that opening the mailed link twice is no error.
func (s *Store) Release(ctx context.Context, code store.Token) (store.Referral, error) {
	var got store.Referral
	hash := code.Hash()
	err := s.view(ctx, func(t *txn) error { // guessing costs no commit
		_, err := t.held(hash[:])
		return err
	})
	if err == nil {
		err = s.update(ctx, func(t *txn) error {
			h, err := t.held(hash[:])
			if err != nil {
				return err
			}
			r, err := s.confirmHeld(t, hash[:], h)
			if err != nil {
				return err
			}
			got = r.Referral
			return nil
		})
	}
	return got, wrap("release consent", err)
}

func (t *txn) held(hash []byte) (heldRecord, error) {
	var h heldRecord
	found, err := t.load(bucketHeld, hash, &h)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return h, err
}

func (s *Store) confirmHeld(t *txn, hash []byte, h heldRecord) (*row, error) {
	now := s.now()
	if !now.Before(h.Until.time()) {
		return nil, store.ErrExpired
	}
	r, err := t.rowByID(h.Referral)
	if err != nil || h.Consent == nil {
		return r, err
	}
	c := h.Consent.consent()
	h.Consent = nil
	if err := s.optIn(t, r, *c, now); err != nil {
		return nil, err
	}
	return r, t.save(bucketHeld, hash, h)
}

// dropHeld ends what a referral waits for.
func (t *txn) dropHeld(id string) error {
	_, err := t.deleteHeld(func(h heldRecord) bool { return h.Referral == id })
	return err
}

// heldWhere returns the keys of what is held and fits.
func (t *txn) heldWhere(which func(heldRecord) bool) (hashes [][]byte, err error) {
	err = t.scan(bucketHeld, nil, func(key, content []byte) error {
		var h heldRecord
		if err := json.Unmarshal(content, &h); err != nil {
			return damaged("record in %s: %v", bucketHeld, err)
		}
		if which(h) {
			hashes = append(hashes, bytes.Clone(key))
		}
		return nil
	})
	return hashes, err
}

func (t *txn) deleteHeld(which func(heldRecord) bool) (int64, error) {
	hashes, err := t.heldWhere(which)
	for _, hash := range hashes {
		err = errors.Join(err, t.delete(bucketHeld, hash))
	}
	if err != nil {
		return 0, fmt.Errorf("delete held consents: %w", err)
	}
	return int64(len(hashes)), nil
}
