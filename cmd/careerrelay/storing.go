package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
	"github.com/careerrelay/careerrelay/store/postgres"
)

// policyOf is the configuration in the words of the store: the same for the relay
// and for every command that opens the store itself.
func policyOf(c *configs.Config) store.Policy {
	ratios := *ratiosOf(c)
	return store.Policy{
		Ratio: c.Ratio, RatioOf: func(company string) int { return ratios[company] },
		LinkLife: time.Duration(c.LinkLife), Cooling: time.Duration(c.CoolingOff), Attribution: store.Attribution(c.Attribution),
		Outbox: c.Agency.Webhook.URL.Host != "",
	}
}

// ratiosOf are the ratios of companies that have their own.
func ratiosOf(c *configs.Config) *map[string]int {
	ratios := map[string]int{}
	for _, company := range c.Companies {
		ratios[string(company.ID)] = company.Ratio
	}
	return &ratios
}

// opening is how a store is opened.
type opening struct {
	policy store.Policy
	log    *slog.Logger
	create bool // make the embedded database if there is none
	later  bool // a PostgreSQL that cannot be reached is no error
	load   bool // to load a dump into it
}

// openConfigured opens the store that the configuration names.
func openConfigured(ctx context.Context, c *configs.Config, how opening) (store.Full, error) {
	if c.UsesPostgres() {
		url, err := c.Postgres.URL.Read()
		if err != nil {
			return nil, fmt.Errorf("postgres.url: %w", err)
		}
		s, err := postgres.Open(ctx, url, postgres.Options{Policy: how.policy, Logger: how.log, Later: how.later, Loading: how.load,
			Pool: c.Postgres.Pool, Timeout: time.Duration(c.Postgres.Timeout)})
		if err != nil {
			return nil, err // not s: an interface of a nil pointer is not nil
		}
		return s, nil
	}
	path := c.StorePath()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !how.create {
		return nil, fmt.Errorf("there is no store at %s: has the relay been started with this configuration?", path)
	}
	s, err := bolt.Open(path, bolt.Options{Policy: how.policy, Logger: how.log, Loading: how.load})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// checkPostgres reads the address of the database.
func checkPostgres(c *configs.Config) error {
	if !c.UsesPostgres() {
		return nil
	}
	url, err := c.Postgres.URL.Read()
	if err != nil {
		return fmt.Errorf("postgres.url: %w", err)
	}
	if err := postgres.CheckURL(url); err != nil {
		return fmt.Errorf("postgres.url: %w", err)
	}
	return nil
}
