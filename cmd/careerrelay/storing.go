package main

import (
	"log/slog"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// storeOptions is the configuration in the words of the store: the same for the
// relay and for every command that opens the store itself.
func storeOptions(c *configs.Config, log *slog.Logger) bolt.Options {
	ratios := *ratiosOf(c)
	return bolt.Options{Logger: log, Policy: store.Policy{
		Ratio: c.Ratio, RatioOf: func(company string) int { return ratios[company] },
		LinkLife: time.Duration(c.LinkLife), Cooling: time.Duration(c.CoolingOff), Attribution: store.Attribution(c.Attribution),
		Outbox: c.Agency.Webhook.URL.Host != "",
	}}
}

// ratiosOf are the ratios of companies that have their own.
func ratiosOf(c *configs.Config) *map[string]int {
	ratios := map[string]int{}
	for _, company := range c.Companies {
		ratios[string(company.ID)] = company.Ratio
	}
	return &ratios
}
