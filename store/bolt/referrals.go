package bolt

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Offer implements store.Store.
func (s *Store) Offer(ctx context.Context, o store.Offer) (store.Referral, error) {
	if err := o.Check(); err != nil {
		return store.Referral{}, err
	}
	var got store.Referral
	err := s.update(ctx, func(t *txn) error {
		now := s.now()
		if err := t.refuseSuppressed(o); err != nil {
			return err
		}
		r, err := s.offered(t, o, now)
		if err != nil {
			return err
		}
		got = r.Referral
		return nil
	})
	return got, wrap("offer", err)
}

func (t *txn) refuseSuppressed(o store.Offer) error {
	if o.Asked {
		return nil
	}
	out, err := t.suppressed(o.Company, o.Person)
	if err == nil && out {
		err = store.ErrSuppressed
	}
	return err
}

func (t *txn) suppressed(company string, p store.PersonHash) (bool, error) {
	at, err := t.get(bucketSuppressed, suppressedKey(company, p))
	return at != nil, err
}

// offered returns the person's referral with o's link in it.
func (s *Store) offered(t *txn, o store.Offer, now time.Time) (*row, error) {
	var p personRecord
	found, err := t.load(bucketPersons, personKey(o.Company, o.Test, o.Person), &p)
	if err != nil {
		return nil, err
	}
	if p.Erased && !o.Asked {
		return nil, store.ErrOffered
	}
	if !found || p.Erased {
		r := &row{Referral: store.NewReferral(s.ids.Next(now), o, now)}
		r.OptedOut, err = t.suppressed(o.Company, o.Person)
		return r, errors.Join(err,
			t.save(bucketPersons, personKey(o.Company, o.Test, o.Person), personRecord{ID: r.ID, Counted: p.Counted}),
			t.addLink(r, o),
			t.saveRow(r))
	}
	r, err := t.loadRow(p.ID)
	if err != nil {
		return nil, err
	}
	link := r.link(o.Key)
	before := r.State
	if err := r.Reoffer(o, link != nil, now); err != nil {
		return nil, err
	}
	switch {
	case link == nil:
		if len(r.links) >= maxLinks {
			return nil, store.ErrOffered
		}
		return r, errors.Join(t.addLink(r, o), t.saveRow(r))
	case link.Void || r.State != before:
		link.Void = false
		return r, t.saveRow(r)
	}
	return r, nil
}

// maxLinks bounds the messages that share one referral, so that nobody can make a
// record grow without end by asking.
const maxLinks = 50

// link finds the link of a message by its key.
func (r *row) link(key string) *linkRecord {
	for i := range r.links {
		if r.links[i].Key == key {
			return &r.links[i]
		}
	}
	return nil
}

func (t *txn) addLink(r *row, o store.Offer) error {
	id, err := idBytes(r.ID)
	if err != nil {
		return err
	}
	hash := o.Token.Hash()
	taken, err := t.get(bucketLinks, hash[:])
	if err != nil {
		return err
	}
	if taken != nil && string(taken) != string(id) {
		return errors.New("token belongs to another referral: was the secret of another store used?")
	}
	r.links = append(r.links, linkRecord{Key: o.Key, Hash: hash[:]})
	return t.put(bucketLinks, hash[:], id)
}

func (t *txn) loadRow(id string) (*row, error) {
	key, err := idBytes(id)
	if err != nil {
		return nil, err
	}
	var d referralRecord
	found, err := t.load(bucketReferrals, key, &d)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, damaged("referral %s is missing", id)
	}
	return d.row(id), nil
}

func (t *txn) saveRow(r *row) error {
	key, err := idBytes(r.ID)
	if err != nil {
		return err
	}
	return t.save(bucketReferrals, key, r.record())
}

// find returns the referral of a token, and the token's link in it.
func (t *txn) find(token store.Token) (*row, *linkRecord, error) {
	hash := token.Hash()
	id, err := t.get(bucketLinks, hash[:])
	if err != nil {
		return nil, nil, err
	}
	if id == nil {
		return nil, nil, store.ErrNotFound
	}
	r, err := t.loadRow(hex.EncodeToString(id))
	if err != nil {
		return nil, nil, err
	}
	for i := range r.links {
		if string(r.links[i].Hash) == string(hash[:]) {
			return r, &r.links[i], nil
		}
	}
	return nil, nil, damaged("referral %s does not know its link", r.ID)
}

// findLive is find for candidates: a void link looks like an unknown one.
func (t *txn) findLive(token store.Token) (*row, error) {
	r, link, err := t.find(token)
	if err == nil && link.Void {
		err = store.ErrNotFound
	}
	return r, err
}

// change applies a pure step to the referral of a token and keeps what became
// of it. The first look costs no commit, so that guessed tokens cannot keep the
// disk busy.
func (s *Store) change(ctx context.Context, token store.Token, do func(t *txn, r *row, link *linkRecord, now time.Time) error) error {
	err := s.view(ctx, func(t *txn) error {
		_, _, err := t.find(token)
		return err
	})
	if err != nil {
		return err
	}
	return s.update(ctx, func(t *txn) error {
		r, link, err := t.find(token)
		if err != nil {
			return err
		}
		return do(t, r, link, s.now())
	})
}

// Confirm implements store.Store.
func (s *Store) Confirm(ctx context.Context, token store.Token) error {
	err := s.change(ctx, token, func(t *txn, r *row, _ *linkRecord, now time.Time) error {
		before := r.Referral
		if err := r.Confirm(now); err != nil {
			return err
		}
		if r.State == before.State && r.SentAt.Equal(before.SentAt) {
			return nil
		}
		var d counters
		if before.SentAt.IsZero() { // referrals, not messages
			d.Sent = 1
		}
		return errors.Join(t.saveRow(r), t.count(r, now, d))
	})
	return wrap("confirm", err)
}

// Void implements store.Store. The referral is void only when every message that
// carried a link to it is: another one may have arrived with its answer lost.
func (s *Store) Void(ctx context.Context, token store.Token) error {
	err := s.change(ctx, token, func(t *txn, r *row, link *linkRecord, now time.Time) error {
		if r.State != store.Offered || link.Void {
			return nil
		}
		link.Void = true
		for _, l := range r.links {
			if !l.Void {
				return t.saveRow(r)
			}
		}
		if err := r.Void(now); err != nil {
			return err
		}
		return t.saveRow(r)
	})
	return wrap("void", err)
}

// Lookup implements store.Store.
func (s *Store) Lookup(ctx context.Context, token store.Token) (store.Referral, error) {
	var got store.Referral
	err := s.view(ctx, func(t *txn) error {
		r, err := t.findLive(token)
		if err != nil {
			return err
		}
		if r.Overdue(s.now(), s.opt.LinkLife) {
			return store.ErrExpired
		}
		got = r.Referral
		return nil
	})
	return got, wrap("look up", err)
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, token store.Token, machine bool) error {
	err := s.change(ctx, token, func(t *txn, r *row, link *linkRecord, now time.Time) error {
		if link.Void {
			return store.ErrNotFound
		}
		r.View(machine)
		var d counters
		switch {
		case machine && r.Machine == 1:
			d.OpenedMachine = 1
		case !machine && r.Human == 1:
			d.OpenedHuman = 1
		}
		return errors.Join(t.saveRow(r), t.count(r, now, d))
	})
	return wrap("count view", err)
}

// OptIn implements store.Store.
func (s *Store) OptIn(ctx context.Context, token store.Token, c store.Consent) (store.Referral, error) {
	var got store.Referral
	err := s.change(ctx, token, func(t *txn, r *row, link *linkRecord, now time.Time) error {
		if link.Void {
			return store.ErrNotFound
		}
		err := s.optIn(t, r, c, now)
		got = r.Referral
		return err
	})
	if err != nil {
		got = store.Referral{}
	}
	return got, wrap("opt in", err)
}

func (s *Store) optIn(t *txn, r *row, c store.Consent, now time.Time) error {
	switch {
	case r.Overdue(now, s.opt.LinkLife):
		return store.ErrExpired
	case r.State == store.OptedIn:
		return nil
	}
	counted, again := r.Counted, !r.OptedInAt.IsZero()
	if err := r.OptIn(now, c); err != nil {
		return err
	}
	if err := s.attribute(t, r); err != nil {
		return err
	}
	var d counters
	if !again { // people, not consents
		d.OptedIn = 1
	}
	return errors.Join(s.prove(t, r, !counted, now), t.saveRow(r), t.count(r, now, d),
		s.announce(t, r, store.EventOptedIn, now))
}

// attribute decides whether another referral of the same person counts already:
// an erased one of this company, or one of another company.
func (s *Store) attribute(t *txn, r *row) error {
	var p personRecord
	if _, err := t.load(bucketPersons, personKey(r.Company, r.Test, r.Person), &p); err != nil {
		return err
	}
	r.Counted = r.Counted && !p.Counted
	if s.opt.Attribution != store.FirstCompany || !r.Counted {
		return nil
	}
	if r.Consent.Candidate == "" {
		return errors.New("the first_company attribution needs the candidate's hash")
	}
	key := []byte(r.Consent.Candidate)
	var first string
	found, err := t.load(bucketCandidates, key, &first)
	if err != nil {
		return err
	}
	if found && first != r.ID {
		r.Counted = false
		return nil
	}
	return t.save(bucketCandidates, key, r.ID)
}

// prove appends the consent record and, when the referral counts from now on,
// the ledger entries. Test mode leaves no trace in either book.
func (s *Store) prove(t *txn, r *row, fresh bool, now time.Time) error {
	if r.Test {
		return nil
	}
	return t.withCompany(r.Company, func(c *companyRecord) error {
		if err := t.appendRecord(c.Book.Prove(store.NewRecord(store.RecordConsent, r.Referral, now))); err != nil {
			return err
		}
		if !r.Counted || !fresh {
			return nil
		}
		entries := c.Book.Count(now, r.Referral, s.ratio(r.Company))
		r.entry = entries[0].Seq
		return t.appendEntries(entries...)
	})
}

// OptOut implements store.Store.
func (s *Store) OptOut(ctx context.Context, token store.Token) error {
	err := s.change(ctx, token, func(t *txn, r *row, link *linkRecord, now time.Time) error {
		if link.Void {
			return store.ErrNotFound
		}
		if r.OptedOut || r.Person == "" {
			return nil
		}
		if err := r.OptOut(now); err != nil {
			return err
		}
		return errors.Join(
			t.save(bucketSuppressed, suppressedKey(r.Company, r.Person), toMicros(now)),
			t.saveRow(r), t.count(r, now, counters{OptedOut: 1}))
	})
	return wrap("opt out", err)
}

// OptBack implements store.Store.
func (s *Store) OptBack(ctx context.Context, token store.Token) error {
	err := s.change(ctx, token, func(t *txn, r *row, link *linkRecord, now time.Time) error {
		if link.Void {
			return store.ErrNotFound
		}
		if !r.OptedOut {
			return nil
		}
		if err := r.OptBack(now); err != nil {
			return err
		}
		return errors.Join(
			t.delete(bucketSuppressed, suppressedKey(r.Company, r.Person)),
			t.saveRow(r), t.count(r, now, counters{OptedOut: -1}))
	})
	return wrap("opt back", err)
}

func (s *Store) now() time.Time { return store.Clock(s.opt.Now()) }

func wrap(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}
