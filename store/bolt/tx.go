package bolt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
	"go.etcd.io/bbolt"
)

// What txn does for the engine. Nothing needs a lock: there is one writer.

// errStop ends a scan early.
var errStop = errors.New("stop")

func (t *txn) bucket(name []byte) (*bbolt.Bucket, error) {
	b := t.tx.Bucket(name)
	if b == nil {
		return nil, damaged("bucket %s is missing", name)
	}
	return b, nil
}

// known decodes the JSON value of a key; store.ErrNotFound when there is none.
func (t *txn) known(bucket, key []byte, v any) error {
	found, err := t.load(bucket, key, v)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return err
}

// values decodes all records of a bucket, in the order of their keys.
func values[T any](t *txn, bucket, prefix []byte) (all []T, err error) {
	err = t.scan(bucket, prefix, func(_, content []byte) error {
		var x T
		if err := json.Unmarshal(content, &x); err != nil {
			return damaged("record in %s: %v", bucket, err)
		}
		all = append(all, x)
		return nil
	})
	return all, err
}

// scanFrom calls f for the lines of a book from a number on, decoded. prefix is
// what the keys begin with before the number.
func scanFrom[T any](t *txn, bucket []byte, prefix string, from int64, f func(T) error) error {
	b, err := t.bucket(bucket)
	if err != nil {
		return err
	}
	c := b.Cursor()
	for k, v := c.Seek(numbered(prefix, from)); k != nil && len(k) == len(prefix)+8 && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
		content, err := unframe(bucket, k, v)
		if err != nil {
			return fmt.Errorf("line %d of %s: %w", binary.BigEndian.Uint64(k[len(prefix):]), strings.TrimSuffix(prefix, sep), err)
		}
		var x T
		if err := json.Unmarshal(content, &x); err != nil {
			return damaged("record in %s: %v", bucket, err)
		}
		if err := f(x); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// lines returns up to limit lines of a book, those before a damaged one included.
func lines[T any](t *txn, bucket []byte, prefix string, from int64, limit int) (all []T, err error) {
	err = scanFrom(t, bucket, prefix, from, func(x T) error {
		if len(all) == limit {
			return errStop
		}
		all = append(all, x)
		return nil
	})
	return all, err
}

// deleteTo deletes the lines of a book up to a number.
func (t *txn) deleteTo(bucket []byte, prefix string, to int64) error {
	b, err := t.bucket(bucket)
	if err != nil {
		return err
	}
	c := b.Cursor()
	for k, _ := c.Seek([]byte(prefix)); k != nil && bytes.Compare(k, numbered(prefix, to)) <= 0; k, _ = c.Seek([]byte(prefix)) {
		if err := t.delete(bucket, bytes.Clone(k)); err != nil {
			return err
		}
	}
	return nil
}

func numbered(prefix string, n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), uint64(n))
}

// Row implements engine.Tx.
func (t *txn) Row(id string) (*engine.Row, error) {
	key, err := hex.DecodeString(id)
	if err != nil || len(key) != store.IDLen {
		return nil, store.ErrNotFound
	}
	content, err := t.get(bucketReferrals, key)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, store.ErrNotFound
	}
	return decodeRow(id, content)
}

func decodeRow(id string, content []byte) (*engine.Row, error) {
	r, err := engine.DecodeRow(id, content)
	if err != nil {
		return nil, damaged("record in %s: %v", bucketReferrals, err)
	}
	return r, nil
}

// PutRow implements engine.Tx.
func (t *txn) PutRow(r *engine.Row) error {
	key, err := idBytes(r.ID)
	if err != nil {
		return err
	}
	content, err := engine.EncodeRow(r)
	if err != nil {
		return err
	}
	return t.put(bucketReferrals, key, content)
}

// DeleteRow implements engine.Tx.
func (t *txn) DeleteRow(id string) error {
	key, err := idBytes(id)
	if err != nil {
		return err
	}
	return t.delete(bucketReferrals, key)
}

// Rows implements engine.Tx.
func (t *txn) Rows(q store.Query, limit int) (rows []*engine.Row, err error) {
	err = t.rowsAfter(q.After, limit, func(k, v []byte) error {
		content, err := unframe(bucketReferrals, k, v)
		if err != nil {
			return err
		}
		r, err := decodeRow(hex.EncodeToString(k), content)
		rows = append(rows, r)
		return err
	})
	return rows, err
}

// IDs implements engine.Tx.
func (t *txn) IDs(after string, limit int) (ids []string, err error) {
	err = t.rowsAfter(after, limit, func(k, _ []byte) error {
		ids = append(ids, hex.EncodeToString(k))
		return nil
	})
	return ids, err
}

func (t *txn) rowsAfter(after string, limit int, f func(k, v []byte) error) error {
	from, err := hex.DecodeString(after)
	if err != nil {
		return store.ErrNotFound
	}
	b, err := t.bucket(bucketReferrals)
	if err != nil {
		return err
	}
	c := b.Cursor()
	k, v := c.Seek(from)
	if k != nil && bytes.Equal(k, from) {
		k, v = c.Next()
	}
	for n := 0; k != nil && n < limit; n++ {
		if err := f(k, v); err != nil {
			return err
		}
		k, v = c.Next()
	}
	return nil
}

// Link implements engine.Tx.
func (t *txn) Link(hash []byte) (string, error) {
	id, err := t.get(bucketLinks, hash)
	return hex.EncodeToString(id), err
}

// AddLink implements engine.Tx.
func (t *txn) AddLink(hash []byte, id string) (string, error) {
	to, err := t.Link(hash)
	if err != nil || to != "" {
		return to, err
	}
	key, err := idBytes(id)
	if err != nil {
		return "", err
	}
	return id, t.put(bucketLinks, hash, key)
}

// DeleteLink implements engine.Tx.
func (t *txn) DeleteLink(hash []byte) error { return t.delete(bucketLinks, hash) }

// Person implements engine.Tx.
func (t *txn) Person(k engine.PersonKey) (engine.Person, error) {
	var p personRecord
	_, err := t.load(bucketPersons, personKey(k.Company, k.Test, k.Person), &p)
	return engine.Person(p), err
}

// PutPerson implements engine.Tx.
func (t *txn) PutPerson(k engine.PersonKey, p engine.Person) error {
	return t.save(bucketPersons, personKey(k.Company, k.Test, k.Person), personRecord(p))
}

// DeletePerson implements engine.Tx.
func (t *txn) DeletePerson(k engine.PersonKey) error {
	return t.delete(bucketPersons, personKey(k.Company, k.Test, k.Person))
}

// Suppressed implements engine.Tx.
func (t *txn) Suppressed(company string, p store.PersonHash) (bool, error) {
	at, err := t.get(bucketSuppressed, suppressedKey(company, p))
	return at != nil, err
}

// PutSuppressed implements engine.Tx.
func (t *txn) PutSuppressed(company string, p store.PersonHash, at time.Time) error {
	return t.save(bucketSuppressed, suppressedKey(company, p), engine.ToMicros(at))
}

// DeleteSuppressed implements engine.Tx.
func (t *txn) DeleteSuppressed(company string, p store.PersonHash) error {
	return t.delete(bucketSuppressed, suppressedKey(company, p))
}

// Candidate implements engine.Tx.
func (t *txn) Candidate(p store.PersonHash) (id string, err error) {
	_, err = t.load(bucketCandidates, []byte(p), &id)
	return id, err
}

// PutCandidate implements engine.Tx.
func (t *txn) PutCandidate(p store.PersonHash, id string) error {
	return t.save(bucketCandidates, []byte(p), id)
}

// DeleteCandidate implements engine.Tx.
func (t *txn) DeleteCandidate(p store.PersonHash) error {
	return t.delete(bucketCandidates, []byte(p))
}

// withCompany changes a company's record; do must not write when it fails.
func (t *txn) withCompany(company string, do func(*companyRecord) error) error {
	var c companyRecord
	if _, err := t.load(bucketCompanies, []byte(company), &c); err != nil {
		return err
	}
	if err := do(&c); err != nil {
		return err
	}
	return t.save(bucketCompanies, []byte(company), &c)
}

// Book implements engine.Tx.
func (t *txn) Book(company string) (store.Book, error) {
	var c companyRecord
	_, err := t.load(bucketCompanies, []byte(company), &c)
	return c.Book, err
}

// PutBook implements engine.Tx.
func (t *txn) PutBook(company string, b store.Book) error {
	return t.withCompany(company, func(c *companyRecord) error {
		c.Book = b
		return nil
	})
}

// Count implements engine.Tx.
func (t *txn) Count(company, rule string, at time.Time, d engine.Counters) error {
	err := t.withCompany(company, func(c *companyRecord) error {
		c.Counters.Add(d)
		return nil
	})
	if err != nil {
		return err
	}
	var month engine.Counters
	key := monthKey(company, at, rule)
	if _, err := t.load(bucketMonths, key, &month); err != nil {
		return err
	}
	month.Add(d)
	return t.save(bucketMonths, key, month)
}

// Totals implements engine.Tx.
func (t *txn) Totals(company string) (all []engine.Total, err error) {
	if company != "" {
		var c companyRecord
		found, err := t.load(bucketCompanies, []byte(company), &c)
		if err != nil || !found {
			return nil, err
		}
		return []engine.Total{{Company: company, Counters: c.Counters, Book: c.Book}}, nil
	}
	err = t.scan(bucketCompanies, nil, func(key, content []byte) error {
		var c companyRecord
		if err := json.Unmarshal(content, &c); err != nil {
			return damaged("record in %s: %v", bucketCompanies, err)
		}
		all = append(all, engine.Total{Company: string(key), Counters: c.Counters, Book: c.Book})
		return nil
	})
	return all, err
}

// Months implements engine.Tx.
func (t *txn) Months(company string) (all []engine.Month, err error) {
	prefix := company + sep
	err = t.scan(bucketMonths, []byte(prefix), func(key, content []byte) error {
		var c engine.Counters
		if err := json.Unmarshal(content, &c); err != nil {
			return damaged("record in %s: %v", bucketMonths, err)
		}
		month, rule, _ := strings.Cut(string(key[len(prefix):]), sep)
		all = append(all, engine.Month{Month: month[:4] + "-" + month[4:], Rule: rule, Counters: c})
		return nil
	})
	return all, err
}

// AppendEntries implements engine.Tx.
func (t *txn) AppendEntries(entries ...store.Entry) error {
	for _, e := range entries {
		if err := t.save(bucketLedger, seqKey(e.Company, e.Seq), e); err != nil {
			return err
		}
	}
	return nil
}

// AppendRecord implements engine.Tx.
func (t *txn) AppendRecord(r store.Record) error {
	return t.save(bucketConsents, seqKey(r.Company, r.Seq), r)
}

// Entries implements engine.Tx.
func (t *txn) Entries(company string, from int64, limit int) ([]store.Entry, error) {
	return lines[store.Entry](t, bucketLedger, company+sep, from, limit)
}

// Records implements engine.Tx.
func (t *txn) Records(company string, from int64, limit int) ([]store.Record, error) {
	return lines[store.Record](t, bucketConsents, company+sep, from, limit)
}

// DeleteRecords implements engine.Tx.
func (t *txn) DeleteRecords(company string, to int64) error {
	return t.deleteTo(bucketConsents, company+sep, to)
}

// Introduction implements engine.Tx.
func (t *txn) Introduction(company string, number int64) (i store.Introduction, err error) {
	return i, t.known(bucketIntros, seqKey(company, number), &i)
}

// PutIntroduction implements engine.Tx.
func (t *txn) PutIntroduction(i store.Introduction) error {
	return t.save(bucketIntros, seqKey(i.Company, i.Number), i)
}

// Introductions implements engine.Tx.
func (t *txn) Introductions(company string) (all []store.Introduction, err error) {
	err = scanFrom(t, bucketIntros, company+sep, 0, func(i store.Introduction) error {
		all = append(all, i)
		return nil
	})
	return all, err
}

// AddDelivery implements engine.Tx.
func (t *txn) AddDelivery(d store.Delivery) error {
	b, err := t.bucket(bucketOutbox)
	if err != nil {
		return err
	}
	t.dirty = true
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	d.ID = int64(seq)
	return t.PutDelivery(d)
}

// PutDelivery implements engine.Tx.
func (t *txn) PutDelivery(d store.Delivery) error {
	return t.save(bucketOutbox, numbered("", d.ID), d)
}

// Delivery implements engine.Tx.
func (t *txn) Delivery(id int64) (d store.Delivery, err error) {
	return d, t.known(bucketOutbox, numbered("", id), &d)
}

// LockDelivery implements engine.Tx.
func (t *txn) LockDelivery(id int64) (store.Delivery, error) { return t.Delivery(id) }

// DeleteDelivery implements engine.Tx.
func (t *txn) DeleteDelivery(id int64) error { return t.delete(bucketOutbox, numbered("", id)) }

// Due implements engine.Tx.
func (t *txn) Due(now time.Time, limit int) ([]store.Delivery, error) {
	return t.deliveries(limit, func(d store.Delivery) bool { return !d.Dead && !now.Before(d.Next) })
}

// DeliveriesOf implements engine.Tx.
func (t *txn) DeliveriesOf(referral string) ([]store.Delivery, error) {
	return t.deliveries(-1, func(d store.Delivery) bool { return d.Referral == referral })
}

// deliveries returns up to limit deliveries that fit; all with a negative limit.
func (t *txn) deliveries(limit int, which func(store.Delivery) bool) (all []store.Delivery, err error) {
	err = scanFrom(t, bucketOutbox, "", 0, func(d store.Delivery) error {
		if len(all) == limit {
			return errStop
		}
		if which(d) {
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

// Deliveries implements engine.Tx.
func (t *txn) Deliveries() ([]store.Delivery, error) {
	return values[store.Delivery](t, bucketOutbox, nil)
}

// Held implements engine.Tx.
func (t *txn) Held(hash []byte) (engine.Held, error) {
	content, err := t.get(bucketHeld, hash)
	if err != nil {
		return engine.Held{}, err
	}
	if content == nil {
		return engine.Held{}, store.ErrNotFound
	}
	return decodeHeld(hash, content)
}

func decodeHeld(hash, content []byte) (engine.Held, error) {
	h, err := engine.DecodeHeld(bytes.Clone(hash), content)
	if err != nil {
		return h, damaged("record in %s: %v", bucketHeld, err)
	}
	return h, nil
}

// PutHeld implements engine.Tx.
func (t *txn) PutHeld(h engine.Held) error {
	content, err := engine.EncodeHeld(h)
	if err != nil {
		return err
	}
	return t.put(bucketHeld, h.Hash, content)
}

// DeleteHeld implements engine.Tx.
func (t *txn) DeleteHeld(hash []byte) error { return t.delete(bucketHeld, hash) }

// DropHeld implements engine.Tx.
func (t *txn) DropHeld(referral string) error {
	all, err := t.Helds()
	for _, h := range all {
		if h.Referral == referral {
			err = errors.Join(err, t.DeleteHeld(h.Hash))
		}
	}
	return err
}

// Helds implements engine.Tx.
func (t *txn) Helds() (all []engine.Held, err error) {
	err = t.scan(bucketHeld, nil, func(key, content []byte) error {
		h, err := decodeHeld(key, content)
		all = append(all, h)
		return err
	})
	return all, err
}

var keyTrail = []byte("trail")

// Trail implements engine.Tx.
func (t *txn) Trail() (trail store.Trail, err error) {
	_, err = t.load(bucketMeta, keyTrail, &trail)
	return trail, err
}

// PutTrail implements engine.Tx.
func (t *txn) PutTrail(trail store.Trail) error { return t.save(bucketMeta, keyTrail, trail) }

// PutNote implements engine.Tx.
func (t *txn) PutNote(n store.Note) error { return t.save(bucketJournal, numbered("", n.Seq), n) }

// Notes implements engine.Tx.
func (t *txn) Notes(from int64, limit int) ([]store.Note, error) {
	return lines[store.Note](t, bucketJournal, "", from, limit)
}

// DeleteNotes implements engine.Tx.
func (t *txn) DeleteNotes(to int64) error { return t.deleteTo(bucketJournal, "", to) }

// AddPace implements engine.Tx.
func (t *txn) AddPace(p store.Pace) error {
	key, sum := seqKey(p.Company, p.Slot.Unix()), store.Pace{Slot: p.Slot}
	if _, err := t.load(bucketPaces, key, &sum); err != nil {
		return err
	}
	sum.Allowed += p.Allowed
	sum.Refused += p.Refused
	return t.save(bucketPaces, key, sum)
}

// Paces implements engine.Tx.
func (t *txn) Paces(company string, since time.Time) (all []store.Pace, err error) {
	err = scanFrom(t, bucketPaces, company+sep, max(0, since.Unix()), func(p store.Pace) error {
		if p.Company = company; !p.Slot.Before(since) {
			all = append(all, p)
		}
		return nil
	})
	return all, err
}

// DeletePaces implements engine.Tx.
func (t *txn) DeletePaces(company string, before time.Time) error {
	if before.Unix() <= 0 {
		return nil
	}
	return t.deleteTo(bucketPaces, company+sep, before.Unix()-1) // slots begin at whole seconds
}
