package bolt

import (
	"encoding/json"
	"strings"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/engine"
)

// EachErased implements engine.Tx.
func (t *txn) EachErased(do func(engine.Erased) error) error {
	return t.scan(bucketPersons, nil, func(key, content []byte) error {
		var p personRecord
		if err := json.Unmarshal(content, &p); err != nil {
			return damaged("record in %s: %v", bucketPersons, err)
		}
		company, person, found := strings.Cut(string(key), sep)
		if !found || person == "" {
			return damaged("key in %s", bucketPersons)
		}
		if !p.Erased && !p.Counted {
			return nil
		}
		return do(engine.Erased{PersonKey: engine.PersonKey{Company: company, Person: store.PersonHash(person[1:])}, Counted: p.Counted})
	})
}

// EachSuppressed implements engine.Tx.
func (t *txn) EachSuppressed(do func(engine.Suppression) error) error {
	return t.scan(bucketSuppressed, nil, func(key, content []byte) error {
		var at engine.Micros
		company, person, found := strings.Cut(string(key), sep)
		if err := json.Unmarshal(content, &at); err != nil || !found {
			return damaged("record in %s: %v", bucketSuppressed, err)
		}
		return do(engine.Suppression{Company: company, Person: store.PersonHash(person), At: at.Time()})
	})
}

// EachCandidate implements engine.Tx.
func (t *txn) EachCandidate(do func(engine.Candidate) error) error {
	return t.scan(bucketCandidates, nil, func(key, content []byte) error {
		c := engine.Candidate{Person: store.PersonHash(key)}
		if err := json.Unmarshal(content, &c.Referral); err != nil {
			return damaged("record in %s: %v", bucketCandidates, err)
		}
		return do(c)
	})
}

// EachCopy implements engine.Tx.
func (t *txn) EachCopy(do func(engine.Copy) error) error {
	return t.scan(bucketCopies, nil, func(key, content []byte) error {
		var at engine.Micros
		if err := json.Unmarshal(content, &at); err != nil || len(key) < 8 {
			return damaged("record in %s: %v", bucketCopies, err)
		}
		return do(engine.Copy{Key: string(key[8:]), At: at.Time()}) // behind the day
	})
}

// LastDelivery implements engine.Tx.
func (t *txn) LastDelivery() (int64, error) {
	b, err := t.bucket(bucketOutbox)
	if err != nil {
		return 0, err
	}
	return int64(b.Sequence()), nil
}

// SetLastDelivery implements engine.Tx.
func (t *txn) SetLastDelivery(id int64) error {
	b, err := t.bucket(bucketOutbox)
	if err != nil {
		return err
	}
	t.dirty = true
	return b.SetSequence(uint64(id))
}

var keyImport = []byte("import")

// Progress implements engine.Tx.
func (t *txn) Progress() (*engine.Progress, error) {
	var p engine.Progress
	found, err := t.load(bucketMeta, keyImport, &p)
	if err != nil || !found {
		return nil, err
	}
	return &p, nil
}

// PutProgress implements engine.Tx.
func (t *txn) PutProgress(p *engine.Progress) error {
	if p == nil {
		return t.delete(bucketMeta, keyImport)
	}
	return t.save(bucketMeta, keyImport, p)
}
