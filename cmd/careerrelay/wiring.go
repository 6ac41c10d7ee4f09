package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/store"
)

// proxyOptions is the configuration in the words of package smtp.
func (s *server) proxyOptions(c *configs.Config) (smtp.Options, error) {
	companies, err := s.companies(c)
	if err != nil {
		return smtp.Options{}, err
	}
	hostname, err := hostnameOf(c)
	if err != nil {
		return smtp.Options{}, err
	}
	o := smtp.Options{
		Companies: companies, Hostname: hostname, Referrals: s.store, Keys: s.keys, StampKey: s.stampKey,
		Link:          s.link,
		ProxyProtocol: prefixes(c.Listen.ProxyProtocol), RejectBareLF: c.BareNewline == "reject",
		Limits: smtp.Limits{
			MessageSize: int64(c.Limits.MessageSize), Window: int64(c.Limits.Window), Memory: int64(c.Limits.Memory),
			Connections: c.Limits.Connections, ConnectionsPerIP: c.Limits.ConnectionsPerIP, Recipients: c.Limits.Recipients,
			Received: c.Limits.Received, HeaderBytes: int64(c.Limits.HeaderBytes),
		},
		Timeouts: smtp.Timeouts{
			Command: time.Duration(c.Timeouts.Command), Data: time.Duration(c.Timeouts.Data),
			Transaction: time.Duration(c.Timeouts.Transaction), Drain: time.Duration(c.Timeouts.Drain),
		},
		Logger: s.log, Registerer: s.registry,
	}
	if s.tls.Load() != nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.tls.Load(), nil
		}}
	}
	return o, nil
}

func hostnameOf(c *configs.Config) (string, error) {
	if c.Hostname != "" {
		return c.Hostname, nil
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "", fmt.Errorf("find the name of this host: %w; set hostname", err)
	}
	return name, nil
}

// companies is the companies of a configuration, with rules compiled and
// upstreams ready to be dialled.
func (s *server) companies(c *configs.Config) ([]smtp.Company, error) {
	var all []smtp.Company
	for _, one := range c.Companies {
		all = append(all, smtp.Company{
			ID: string(one.ID), Name: one.Name, Domains: texts(one.Domains),
			Networks: prefixes(one.Accept.Networks), Users: users(one.Accept.Users), ClientNames: texts(one.Accept.ClientNames),
			Mode: smtp.Mode(one.Mode), Test: one.Test, Release: one.Release, Wording: string(one.Wording), Agency: c.Agency.Name,
			DKIM: smtp.DKIM(one.DKIM), Recipients: smtp.Recipients(one.Recipients),
			Burst: smtp.Burst{Insertions: one.Burst.Insertions, Window: time.Duration(one.Burst.Window)},
		})
	}
	return all, nil
}

func users(all []configs.User) []smtp.User {
	var out []smtp.User
	for _, u := range all {
		out = append(out, smtp.User{Name: u.Name, Hash: string(u.Hash), Domains: texts(u.Domains)})
	}
	return out
}

func texts[T ~string](all []T) []string {
	var out []string
	for _, one := range all {
		out = append(out, string(one))
	}
	return out
}

func prefixes(all []configs.Network) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range all {
		out = append(out, n.Prefix)
	}
	return out
}

func (s *server) newPages(c *configs.Config) (http.Handler, error) {
	return http.NotFoundHandler(), nil
}

func (s *server) link(company string, t store.Token) (link, optOut string) { return "", "" }
