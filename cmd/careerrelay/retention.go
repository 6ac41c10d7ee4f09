package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
)

// purgeEvery is how often what may not be kept longer is deleted.
const purgeEvery = 24 * time.Hour

// keepRetention applies the retention of the current configuration at once and
// then every day, until ctx ends. What it deleted goes to the log as counts.
func (s *server) keepRetention(ctx context.Context) {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		s.purge(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *server) purge(ctx context.Context) {
	keep := s.reloader.config().Retention
	purged, err := s.store.Purge(ctx, retentionOf(keep))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.Error("retention was not applied; the next try is in a day", slog.Any("err", err))
	case purged != store.Purged{}:
		s.log.Info("retention was applied", slog.Any("purged", purged))
		if err := notePurge(ctx, s.store, "relay", purged); err != nil {
			s.log.Error("the journal did not take what retention deleted", slog.Any("err", err))
		}
	}
}

// retentionOf is the retention of a configuration in the words of the store.
func retentionOf(keep configs.Retention) store.Retention {
	return store.Retention{
		Unused: time.Duration(keep.Unused), Profile: time.Duration(keep.Profile), Withdrawn: time.Duration(keep.Withdrawn),
		Letters: time.Duration(keep.Letters), Records: time.Duration(keep.Records),
	}
}

// notePurge writes into the journal what a purge deleted, as counts.
func notePurge(ctx context.Context, journal store.Journal, actor string, purged store.Purged) error {
	detail, err := json.Marshal(purged)
	if err != nil {
		return err
	}
	_, err = journal.Note(ctx, store.Note{Kind: store.NoteDeletion, Actor: actor, Action: "purge", Detail: string(detail)})
	return err
}
