package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/careerrelay/careerrelay/configs"
)

// reloader replaces the configuration of the running relay: on SIGHUP, on a POST
// to the admin listener, and when the hash of the files changes (file watchers
// go blind on renames and symlink swaps). What can fail fails before anything
// changes; a bad file keeps the old configuration.
type reloader struct {
	path  string
	apply func(*configs.Config) error // builds all that can fail, then swaps
	log   *slog.Logger

	mu      sync.Mutex // serialises reloads; guards the fields below
	current *configs.Config
	seen    string // fingerprint of the files at the last try, good or bad
	failed  error  // why the last try failed; nil when it did not

	successful prometheus.Gauge
	at         prometheus.Gauge
}

func newReloader(c *configs.Config, apply func(*configs.Config) error, log *slog.Logger, reg prometheus.Registerer) *reloader {
	r := &reloader{path: c.File(), apply: apply, log: log, current: c, seen: configs.Fingerprint(c)}
	with := promauto.With(reg)
	r.successful = with.NewGauge(prometheus.GaugeOpts{
		Name: "careerrelay_config_last_reload_successful", Help: "1 if the configuration files on disk are the ones in use.",
	})
	r.at = with.NewGauge(prometheus.GaugeOpts{
		Name: "careerrelay_config_last_reload_success_timestamp_seconds", Help: "When a configuration was last taken into use.",
	})
	r.successful.Set(1)
	r.at.SetToCurrentTime()
	return r
}

// reload reads the files and takes them into use, or says why not.
func (r *reloader) reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.try()
	r.failed = err
	if err != nil {
		r.successful.Set(0)
		r.log.Error("configuration not reloaded, the old one stays", "file", r.path, "err", err)
		return err
	}
	r.successful.Set(1)
	r.at.SetToCurrentTime()
	r.log.Info("configuration reloaded", "file", r.path)
	return nil
}

func (r *reloader) try() error {
	// Taken before reading: what changes from here on is seen at the next poll.
	r.seen = configs.Fingerprint(r.current)
	next, err := r.current.Again()
	if err != nil {
		return err
	}
	if keys := r.current.NeedsRestart(next); len(keys) > 0 {
		return fmt.Errorf("these keys changed and need a restart: %s", strings.Join(keys, ", "))
	}
	if err := r.apply(next); err != nil {
		return err
	}
	if !slices.Equal(r.current.Files(), next.Files()) {
		r.seen = "" // says nothing about the files that count now: the next poll reads them again
	}
	r.current = next
	return nil
}

// failure is why the files on disk are not the ones in use, nil when they are.
func (r *reloader) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// config is the configuration in use.
func (r *reloader) config() *configs.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// companies are the ids of the companies in use.
func (r *reloader) companies() []string { return companyIDs(r.config()) }

func companyIDs(c *configs.Config) []string {
	var ids []string
	for _, company := range c.Companies {
		ids = append(ids, string(company.ID))
	}
	return ids
}

// poll reloads if a file changed since the last try.
func (r *reloader) poll() {
	r.mu.Lock()
	changed := configs.Fingerprint(r.current) != r.seen
	r.mu.Unlock()
	if changed {
		_ = r.reload() // reported by reload itself
	}
}

// run follows signals and polls until ctx ends.
func (r *reloader) run(ctx context.Context, hup <-chan os.Signal, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_ = r.reload() // reported by reload itself
		case <-tick:
			r.poll()
		}
	}
}
