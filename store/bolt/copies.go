package bolt

import (
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// copyDay is the number of the day that a time lies in. Copies are kept by days,
// so that old ones lie together.
func copyDay(at time.Time) int64 { return at.Unix() / int64((24*time.Hour)/time.Second) }

func copyKey(day int64, key string) []byte { return append(numbered("", day), key...) }

// AddCopy implements engine.Tx.
func (t *txn) AddCopy(key string, at time.Time) error {
	return t.save(bucketCopies, copyKey(copyDay(at), key), at.UnixMicro())
}

// HasCopy implements engine.Tx.
func (t *txn) HasCopy(key string, since time.Time) (bool, error) {
	for day := copyDay(since); day <= copyDay(since.Add(store.CopyLife))+1; day++ { // a clock may have been set back
		var at int64
		found, err := t.load(bucketCopies, copyKey(day, key), &at)
		if err != nil || found && time.UnixMicro(at).After(since) {
			return found, err
		}
	}
	return false, nil
}

// DeleteCopies implements engine.Tx. What is older by less than a day may stay.
func (t *txn) DeleteCopies(before time.Time) error {
	return t.deleteTo(bucketCopies, "", copyDay(before))
}
