package main

import (
	"context"
	"log/slog"
	"time"

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
	purged, err := s.store.Purge(ctx, store.Retention{
		Unused: time.Duration(keep.Unused), Profile: time.Duration(keep.Profile), Records: time.Duration(keep.Records),
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.Error("retention was not applied; the next try is in a day", slog.Any("err", err))
	case purged != store.Purged{}:
		s.log.Info("retention was applied", slog.Any("purged", purged))
	}
}
