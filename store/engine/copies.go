package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/careerrelay/careerrelay/store"
)

// AddCopy implements store.Copies.
func (e *Engine) AddCopy(ctx context.Context, key string) error {
	if err := store.CheckCopy(key); err != nil {
		return fmt.Errorf("add copy: %w", err)
	}
	err := e.db.Write(ctx, func(t Tx) error {
		now := e.now()
		return errors.Join(t.AddCopy(key, now), t.DeleteCopies(now.Add(-store.CopyLife)))
	})
	return wrap("add copy", err)
}

// HasCopy implements store.Copies.
func (e *Engine) HasCopy(ctx context.Context, key string) (bool, error) {
	var found bool
	err := e.db.Read(ctx, func(t Tx) (err error) {
		found, err = t.HasCopy(key, e.now().Add(-store.CopyLife))
		return err
	})
	return found, wrap("find copy", err)
}
