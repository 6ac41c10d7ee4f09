package main

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/web"
)

// proxyOptions is the configuration in the words of package smtp.
func (s *server) proxyOptions(c *configs.Config, ups upstreams, hostname string) (smtp.Options, error) {
	companies, err := companiesOf(c, ups, hostname)
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
			Received: c.Limits.Received, HeaderBytes: int64(c.Limits.HeaderBytes), Inspect: rewriteLimits(c),
		},
		Timeouts: smtp.Timeouts{
			Command: time.Duration(c.Timeouts.Command), Data: time.Duration(c.Timeouts.Data),
			Transaction: time.Duration(c.Timeouts.Transaction), Inspect: time.Duration(c.Timeouts.Inspect), Drain: time.Duration(c.Timeouts.Drain),
		},
		Paused: s.pause.paused, Logger: s.log, Registerer: s.registry,
	}
	if s.tls.Load() != nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.tls.Load(), nil
		}}
	}
	return o, nil
}

// hostnameOf is the name of this host in SMTP. Upstreams want a full one (RFC
// 5321, section 2.3.5); a system that knows only a short name gets the domain
// that Postfix would give it.
func hostnameOf(c *configs.Config) (string, error) {
	if c.Hostname != "" {
		return c.Hostname, nil
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "", fmt.Errorf("find the name of this host: %w; set hostname", err)
	}
	if !strings.Contains(name, ".") {
		name += ".localdomain"
	}
	return name, nil
}

// companiesOf is the companies of a configuration, with rules compiled and
// upstreams ready to be dialled.
func companiesOf(c *configs.Config, ups upstreams, hostname string) ([]smtp.Company, error) {
	var all []smtp.Company
	for i := range c.Companies {
		one := &c.Companies[i]
		up, err := ups.of(c, one, hostname)
		if err != nil {
			return nil, fmt.Errorf("company %q: %w", one.ID, err)
		}
		all = append(all, smtp.Company{
			ID: string(one.ID), Domains: ownDomains(c, one), Upstream: up,
			Networks: prefixes(one.Accept.Networks), OwnSenders: one.Accept.OwnSenders, Users: users(one.Accept.Users), ClientNames: texts(one.Accept.ClientNames),
			PassAuth: one.UpstreamAuth.Mechanism == configs.ByClient,
			Mode:     smtp.Mode(one.Mode), Test: one.Test, Rules: one.Compiled(), Release: one.Release,
			Block: func(v rewrite.Verdict, link, optOut string) (rewrite.Block, bool) {
				return one.Block(c.Agency, v, link, optOut)
			},
			DKIM: smtp.DKIM(one.DKIM), SigningKeys: signingKeys(one), Recipients: smtp.Recipients(one.Recipients),
			Burst: smtp.Burst{Insertions: one.Burst.Insertions, Factor: one.Burst.Factor, Window: time.Duration(one.Burst.Window)},
		})
	}
	return all, nil
}

// ownDomains are the mail domains whose people are never candidates.
func ownDomains(c *configs.Config, one *configs.Company) []string {
	return append(texts(one.Domains), texts(c.Agency.Domains)...)
}

// signingKeys are the keys that sign the company's mail after an edit.
func signingKeys(c *configs.Company) []smtp.SigningKey {
	var keys []smtp.SigningKey
	for _, k := range c.DKIMKeys {
		keys = append(keys, smtp.SigningKey{Domain: string(k.Domain), Selector: string(k.Selector), Key: k.Signer()})
	}
	return keys
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

// newPages makes the candidates' pages of a configuration.
func (s *server) newPages(c *configs.Config) (*web.Pages, error) {
	var companies []web.Company
	for i := range c.Companies {
		one := &c.Companies[i]
		base := one.PublicURL.URL
		companies = append(companies, web.Company{ID: string(one.ID), Name: one.Name, PublicURL: &base, Own: ownDomains(c, one),
			Mails: one.Sender.Address.Address != "", Test: one.Test})
	}
	var candidate func(string) store.PersonHash
	if c.Attribution == "first_company" {
		candidate = s.keys.Candidate
	}
	return web.New(web.Options{
		Candidate: candidate,
		Companies: companies, Referrals: s.store, Person: s.keys.Person, Seal: s.sealer.Seal, Open: s.sealer.Open, Secret: s.pageKey,
		AgencyForm: agencyForm(c), Tells: c.Agency.Webhook.URL.Host != "",
		Mailer: s.mailer, Offers: s.store, Issuer: s.keys,
		LinkLife: time.Duration(c.LinkLife), Logger: s.log,
		Agency: agencyOf(c.Agency),
	})
}

// agencyForm is the agency's own form; nil if candidates register on the pages.
func agencyForm(c *configs.Config) *url.URL {
	if c.Agency.Form.Host == "" {
		return nil
	}
	form := c.Agency.Form.URL
	return &form
}

// agencyOf is the agency as the pages show it.
func agencyOf(a configs.Agency) web.Agency {
	return web.Agency{Name: a.Name, Licence: string(a.Licence), Address: a.Address, Contact: a.Contact, PrivacyPolicy: a.PrivacyPolicy.String()}
}

// linkBook knows where the links of each company begin.
type linkBook map[string]*url.URL

func newLinkBook(c *configs.Config) linkBook {
	book := linkBook{}
	for _, company := range c.Companies {
		base := company.PublicURL.URL
		book[string(company.ID)] = &base
	}
	return book
}

// link makes the addresses of a candidate's page and of its opt-out page, or
// what all of the company's links begin with if there is no token.
func (s *server) link(company string, t store.Token) (link, optOut string) {
	base := (*s.links.Load())[company]
	if base == nil {
		return "", "" // removed by a reload
	}
	return web.LinkTo(base)(t)
}

// rewriteLimits are the bounds of inspection.
func rewriteLimits(c *configs.Config) rewrite.Limits {
	return rewrite.Limits{
		HeaderBytes: int64(c.Limits.HeaderBytes), Parts: c.Limits.Parts, Depth: c.Limits.Depth, TextBytes: int64(c.Limits.TextBytes),
	}
}
