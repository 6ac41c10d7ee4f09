package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/careerrelay/careerrelay/agency"
	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
)

// agencySide is what of the running relay faces the agency.
type agencySide struct {
	metrics *agency.Metrics
	webhook *agency.Webhook // nil: not configured
	api     *agency.API
}

// newDesk makes what the agency gets of a referral; config is asked for the one
// in use.
func newDesk(referrals agency.Referrals, open func(string, []byte) ([]byte, error), config func() *configs.Config) *agency.Desk {
	return &agency.Desk{Referrals: referrals, Open: open,
		Company: func(id string) string {
			for _, c := range config().Companies {
				if string(c.ID) == id {
					return c.Name
				}
			}
			return ""
		},
		Receiver: func() (name, address string) {
			a := config().Agency
			return a.Name, a.Address
		},
	}
}

// current is the configuration in use, also while the relay starts.
func (s *server) current() *configs.Config {
	if s.reloader == nil {
		return s.config
	}
	return s.reloader.config()
}

// openAgency makes the ways to the agency that are configured.
func (s *server) openAgency() error {
	s.agency.metrics = agency.NewMetrics(s.registry)
	desk := newDesk(s.store, s.sealer.Open, s.current)
	var err error
	s.agency.api, err = agency.NewAPI(agency.APIOptions{Desk: desk, Store: s.store, Tokens: s.apiTokens, Logger: s.log, Metrics: s.agency.metrics})
	if err != nil {
		return err
	}
	return s.openWebhook(desk, s.store)
}

// apiTokens are those of the configuration in use.
func (s *server) apiTokens() []agency.Token {
	var all []agency.Token
	for _, t := range s.current().Agency.APITokens {
		all = append(all, agency.Token{Name: t.Name, SHA256: string(t.SHA256)})
	}
	return all
}

func (s *server) openWebhook(desk *agency.Desk, outbox store.Outbox) error {
	hook := s.config.Agency.Webhook
	if hook.URL.Host == "" {
		return nil
	}
	roots, err := s.config.WebhookRoots()
	if err != nil {
		return fmt.Errorf("agency.webhook.ca: %w", err)
	}
	s.agency.webhook, err = agency.NewWebhook(agency.WebhookOptions{
		Desk: desk, Outbox: outbox, URL: &hook.URL.URL,
		Secrets: func() ([][]byte, error) { return s.current().Agency.Webhook.Keys() },
		TLS:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, Logger: s.log, Metrics: s.agency.metrics,
	})
	return err
}

// serveAgency runs the ways to the agency until the relay stops.
func (s *server) serveAgency(api net.Listener) {
	if api != nil {
		s.serveHTTP("agency", api, s.agency.api)
	}
	if s.agency.webhook == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.run("webhook", func() error {
		defer close(done)
		s.agency.webhook.Run(ctx)
		return nil
	})
	s.onStop("webhook", func(grace context.Context) error {
		cancel()
		select {
		case <-done: // what was on its way has its answer
			return nil
		case <-grace.Done():
			return grace.Err()
		}
	})
}
