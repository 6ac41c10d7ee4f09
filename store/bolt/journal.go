package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

var keyTrail = []byte("trail")

func noteKey(seq int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(seq)) }

func (t *txn) trail() (store.Trail, error) {
	var trail store.Trail
	_, err := t.load(bucketMeta, keyTrail, &trail)
	return trail, err
}

// Note implements store.Journal.
func (s *Store) Note(ctx context.Context, n store.Note) (store.Note, error) {
	if err := n.Check(); err != nil {
		return store.Note{}, err
	}
	var got store.Note
	err := s.update(ctx, func(t *txn) error {
		trail, err := t.trail()
		if err != nil {
			return err
		}
		got = trail.Link(s.now(), n)
		return errors.Join(t.save(bucketJournal, noteKey(got.Seq), got), t.save(bucketMeta, keyTrail, trail))
	})
	if err != nil {
		got = store.Note{}
	}
	return got, wrap("write journal", err)
}

// Notes implements store.Journal.
func (s *Store) Notes(ctx context.Context, q store.NoteQuery) ([]store.Note, error) {
	var got []store.Note
	err := s.view(ctx, func(t *txn) error {
		trail, err := t.trail()
		if err != nil {
			return err
		}
		from := trail.Seq
		if q.Below != 0 {
			from = min(from, q.Below-1)
		}
		for seq := from; seq > trail.Forgotten && len(got) < q.Size(); seq-- {
			var n store.Note
			found, err := t.load(bucketJournal, noteKey(seq), &n)
			if err != nil {
				return fmt.Errorf("line %d: %w", seq, err)
			}
			if found && q.Match(n) {
				got = append(got, n)
			}
		}
		return nil
	})
	return got, wrap("read journal", err)
}

// notes calls f for the lines of the journal, oldest first.
func (t *txn) notes(f func(store.Note) error) error {
	err := t.scan(bucketJournal, nil, func(_, content []byte) error {
		var n store.Note
		if err := json.Unmarshal(content, &n); err != nil {
			return damaged("record in %s: %v", bucketJournal, err)
		}
		return f(n)
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

func (s *Store) auditJournal(ctx context.Context, rep *store.AuditReport) error {
	return s.view(ctx, func(t *txn) error {
		running, err := t.trail()
		if err != nil {
			return err
		}
		a := store.NewTrailAuditor(running)
		if err := t.notes(func(n store.Note) error { a.Note(n); return nil }); err != nil {
			found(rep, "journal: %v", err)
		}
		rep.Journal = a.Compare(running)
		for _, p := range a.Problems {
			found(rep, "%s", p)
		}
		return nil
	})
}

// purgeNotes cuts the old end off the journal, as cutRecords does for a consent
// book.
func (s *Store) purgeNotes(ctx context.Context, before time.Time, total *store.Purged) error {
	for {
		var n int64
		err := s.update(ctx, func(t *txn) error {
			trail, err := t.trail()
			if err != nil {
				return err
			}
			old, err := t.oldNotes(before, purgeStep)
			n = int64(len(old))
			if err != nil || n == 0 {
				return err
			}
			for _, note := range old {
				err = errors.Join(err, t.delete(bucketJournal, noteKey(note.Seq)))
				trail.Forgotten, trail.Stub = note.Seq, note.Hash
			}
			return errors.Join(err, t.save(bucketMeta, keyTrail, trail))
		})
		if err != nil {
			return err
		}
		total.Notes += n
		if n < purgeStep {
			return nil
		}
	}
}

// oldNotes returns up to limit of the oldest notes that were written before.
func (t *txn) oldNotes(before time.Time, limit int) ([]store.Note, error) {
	var old []store.Note
	err := t.notes(func(n store.Note) error {
		if len(old) == limit || !n.At.Before(before) {
			return errStop
		}
		old = append(old, n)
		return nil
	})
	return old, err
}
