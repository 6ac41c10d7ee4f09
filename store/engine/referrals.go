package engine

import (
	"context"
	"errors"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Offer implements store.Store.
func (e *Engine) Offer(ctx context.Context, o store.Offer) (store.Referral, error) {
	if err := o.Check(); err != nil {
		return store.Referral{}, err
	}
	var got store.Referral
	err := e.db.Write(ctx, func(t Tx) error {
		now := e.now()
		out, err := t.Suppressed(o.Company, o.Person)
		if err != nil {
			return err
		}
		if out && !o.Asked {
			return store.ErrSuppressed
		}
		r, err := e.offered(t, o, out, now)
		if err != nil {
			return err
		}
		got = r.Referral
		return nil
	})
	return got, wrap("offer", err)
}

// offered returns the person's referral with o's link in it. out says that the
// person opted out.
func (e *Engine) offered(t Tx, o store.Offer, out bool, now time.Time) (*Row, error) {
	key := PersonKey{Company: o.Company, Test: o.Test, Person: o.Person}
	p, err := t.Person(key)
	if err != nil {
		return nil, err
	}
	if p.Erased && !o.Asked {
		return nil, store.ErrOffered
	}
	if p.ID == "" {
		r := &Row{Referral: store.NewReferral(e.ids.Next(now), o, now)}
		r.OptedOut = out
		if err := t.PutPerson(key, Person{ID: r.ID, Counted: p.Counted}); err != nil {
			return nil, err
		}
		return r, putWithLink(t, r, o)
	}
	r, err := known(t, p.ID)
	if err != nil {
		return nil, err
	}
	return r, reoffer(t, r, o, now)
}

func reoffer(t Tx, r *Row, o store.Offer, now time.Time) error {
	link := r.link(o.Key)
	before := r.State
	if err := r.Reoffer(o, link != nil, now); err != nil {
		return err
	}
	switch {
	case link == nil:
		if len(r.Links) >= maxLinks {
			return store.ErrOffered
		}
		return putWithLink(t, r, o)
	case link.Void || r.State != before:
		link.Void = false
		return t.PutRow(r)
	}
	return nil
}

// maxLinks bounds the messages that share one referral, so that nobody can make a
// record grow without end by asking.
const maxLinks = 50

// putWithLink keeps r with one more link. The row comes first: of two relays that
// make a person's referral at once, one fails there and begins anew.
func putWithLink(t Tx, r *Row, o store.Offer) error {
	hash := o.Token.Hash()
	r.Links = append(r.Links, Link{Key: o.Key, Hash: hash[:]})
	if err := t.PutRow(r); err != nil {
		return err
	}
	to, err := t.AddLink(hash[:], r.ID)
	if err == nil && to != r.ID {
		err = errors.New("token belongs to another referral: was the secret of another store used?")
	}
	return err
}

// known is Row for ids that the store itself keeps.
func known(t Tx, id string) (*Row, error) {
	r, err := t.Row(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, Damaged("referral %s is missing", id)
	}
	return r, err
}

// find returns the referral of a token, and the token's link in it.
func find(t Tx, token store.Token) (*Row, *Link, error) {
	hash := token.Hash()
	id, err := t.Link(hash[:])
	if err != nil {
		return nil, nil, err
	}
	if id == "" {
		return nil, nil, store.ErrNotFound
	}
	r, err := known(t, id)
	if err != nil {
		return nil, nil, err
	}
	link := r.linkTo(hash[:])
	if link == nil {
		return nil, nil, Damaged("referral %s does not know its link", r.ID)
	}
	return r, link, nil
}

// step is what happens to a referral. link is the one that led to it.
type step func(t Tx, r *Row, link *Link, now time.Time) error

// change applies a step to the referral of a token and keeps what became of it.
func (e *Engine) change(ctx context.Context, token store.Token, do step) error {
	err := e.look(ctx, func(t Tx) error {
		_, _, err := find(t, token)
		return err
	})
	if err != nil {
		return err
	}
	return e.db.Write(ctx, func(t Tx) error {
		r, link, err := find(t, token)
		if err != nil {
			return err
		}
		return do(t, r, link, e.now())
	})
}

// look is a first reading that costs no commit, so that guessed tokens cannot
// keep the disk busy.
func (e *Engine) look(ctx context.Context, do func(Tx) error) error {
	if !e.opt.LookFirst {
		return nil
	}
	return e.db.Read(ctx, do)
}

// changeLive is change for candidates: a void link looks like an unknown one.
func (e *Engine) changeLive(ctx context.Context, token store.Token, do func(t Tx, r *Row, now time.Time) error) error {
	return e.change(ctx, token, func(t Tx, r *Row, link *Link, now time.Time) error {
		if link.Void {
			return store.ErrNotFound
		}
		return do(t, r, now)
	})
}

// Confirm implements store.Store.
func (e *Engine) Confirm(ctx context.Context, token store.Token) error {
	err := e.change(ctx, token, func(t Tx, r *Row, _ *Link, now time.Time) error {
		before := r.Referral
		if err := r.Confirm(now); err != nil {
			return err
		}
		if r.State == before.State && r.SentAt.Equal(before.SentAt) {
			return nil
		}
		var d Counters
		if before.SentAt.IsZero() { // referrals, not messages
			d.Sent = 1
		}
		return errors.Join(t.PutRow(r), count(t, r, now, d))
	})
	return wrap("confirm", err)
}

// Void implements store.Store. The referral is void only when every message that
// carried a link to it is: another one may have arrived with its answer lost.
func (e *Engine) Void(ctx context.Context, token store.Token) error {
	err := e.change(ctx, token, func(t Tx, r *Row, link *Link, now time.Time) error {
		if r.State != store.Offered || link.Void {
			return nil
		}
		link.Void = true
		for _, l := range r.Links {
			if !l.Void {
				return t.PutRow(r)
			}
		}
		if err := r.Void(now); err != nil {
			return err
		}
		return t.PutRow(r)
	})
	return wrap("void", err)
}

// Lookup implements store.Store.
func (e *Engine) Lookup(ctx context.Context, token store.Token) (store.Referral, error) {
	var got store.Referral
	err := e.db.Read(ctx, func(t Tx) error {
		r, link, err := find(t, token)
		switch {
		case err != nil:
			return err
		case link.Void:
			return store.ErrNotFound
		case r.Overdue(e.now(), e.opt.LinkLife):
			return store.ErrExpired
		}
		got = r.Referral
		return nil
	})
	return got, wrap("look up", err)
}

// View implements store.Store.
func (e *Engine) View(ctx context.Context, token store.Token, machine bool) error {
	err := e.changeLive(ctx, token, func(t Tx, r *Row, now time.Time) error {
		r.View(machine)
		var d Counters
		switch {
		case machine && r.Machine == 1:
			d.OpenedMachine = 1
		case !machine && r.Human == 1:
			d.OpenedHuman = 1
		}
		return errors.Join(t.PutRow(r), count(t, r, now, d))
	})
	return wrap("count view", err)
}

// OptIn implements store.Store.
func (e *Engine) OptIn(ctx context.Context, token store.Token, c store.Consent) (store.Referral, error) {
	var got store.Referral
	err := e.changeLive(ctx, token, func(t Tx, r *Row, now time.Time) error {
		err := e.optIn(t, r, c, now)
		got = r.Referral
		return err
	})
	if err != nil {
		got = store.Referral{}
	}
	return got, wrap("opt in", err)
}

func (e *Engine) optIn(t Tx, r *Row, c store.Consent, now time.Time) error {
	switch {
	case r.Overdue(now, e.opt.LinkLife):
		return store.ErrExpired
	case r.State == store.OptedIn:
		return nil
	}
	counted, again := r.Counted, !r.OptedInAt.IsZero()
	if err := r.OptIn(now, c); err != nil {
		return err
	}
	if err := e.attribute(t, r); err != nil {
		return err
	}
	var d Counters
	if !again { // people, not consents
		d.OptedIn = 1
	}
	return errors.Join(e.announce(t, r, store.EventOptedIn, now), e.prove(t, r, !counted, now), t.PutRow(r), count(t, r, now, d))
}

// attribute decides whether another referral of the same person counts already:
// an erased one of this company, or one of another company.
func (e *Engine) attribute(t Tx, r *Row) error {
	p, err := t.Person(keyOf(r.Referral))
	if err != nil {
		return err
	}
	r.Counted = r.Counted && !p.Counted
	if e.opt.Attribution != store.FirstCompany || !r.Counted {
		return nil
	}
	who := r.Consent.Candidate
	if who == "" {
		return errors.New("the first_company attribution needs the candidate's hash")
	}
	first, err := t.Candidate(who)
	if err != nil {
		return err
	}
	if first != "" && first != r.ID {
		r.Counted = false
		return nil
	}
	return t.PutCandidate(who, r.ID)
}

// prove appends the consent record and, when the referral counts from now on,
// the ledger entries. Test mode leaves no trace in either book.
func (e *Engine) prove(t Tx, r *Row, fresh bool, now time.Time) error {
	if r.Test {
		return nil
	}
	return withBook(t, r.Company, func(b *store.Book) error {
		if err := t.AppendRecord(b.Prove(store.NewRecord(store.RecordConsent, r.Referral, now))); err != nil {
			return err
		}
		if !r.Counted || !fresh {
			return nil
		}
		entries := b.Count(now, r.Referral, e.opt.RatioFor(r.Company))
		r.Entry = entries[0].Seq
		return t.AppendEntries(entries...)
	})
}

// OptOut implements store.Store.
func (e *Engine) OptOut(ctx context.Context, token store.Token) error {
	err := e.changeLive(ctx, token, func(t Tx, r *Row, now time.Time) error {
		if r.OptedOut || r.Person == "" {
			return nil
		}
		if err := r.OptOut(now); err != nil {
			return err
		}
		return errors.Join(t.PutRow(r), t.PutSuppressed(r.Company, r.Person, now), count(t, r, now, Counters{OptedOut: 1}))
	})
	return wrap("opt out", err)
}

// OptBack implements store.Store.
func (e *Engine) OptBack(ctx context.Context, token store.Token) error {
	err := e.changeLive(ctx, token, func(t Tx, r *Row, now time.Time) error {
		if !r.OptedOut {
			return nil
		}
		if err := r.OptBack(now); err != nil {
			return err
		}
		return errors.Join(t.PutRow(r), t.DeleteSuppressed(r.Company, r.Person), count(t, r, now, Counters{OptedOut: -1}))
	})
	return wrap("opt back", err)
}
