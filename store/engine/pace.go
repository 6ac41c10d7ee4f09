package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// AddPace implements store.Paces.
func (e *Engine) AddPace(ctx context.Context, p store.Pace) error {
	if err := p.Check(); err != nil {
		return fmt.Errorf("add pace: %w", err)
	}
	err := e.db.Write(ctx, func(t Tx) error {
		return errors.Join(t.AddPace(p), t.DeletePaces(p.Company, p.Slot.Add(-store.PaceLife)))
	})
	return wrap("add pace", err)
}

// Pace implements store.Paces.
func (e *Engine) Pace(ctx context.Context, company string, since time.Time) ([]store.Pace, error) {
	var got []store.Pace
	err := e.db.Read(ctx, func(t Tx) (err error) {
		got, err = t.Paces(company, since)
		return err
	})
	return got, wrap("read pace", err)
}
