package main

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
)

// upstreams are the mail servers behind the companies of a configuration, by
// what makes them the same. The relay closes those that no company has any more.
type upstreams map[string]*smtp.Upstream

// next makes the upstreams of a configuration. A company whose servers and login
// did not change keeps the connections it has.
func (u upstreams) next(c *configs.Config, hostname string) (upstreams, error) {
	next := upstreams{}
	for i := range c.Companies {
		company := &c.Companies[i]
		o, key, err := upstreamOptions(c, company, hostname)
		if err == nil {
			err = next.add(u, key, o)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("company %q: upstream: %w", company.ID, err), u.discard(next))
		}
	}
	return next, nil
}

func (u upstreams) add(old upstreams, key string, o smtp.UpstreamOptions) error {
	if up := old[key]; up != nil {
		u[key] = up
		return nil
	}
	up, err := smtp.NewUpstream(o)
	if err != nil {
		return err
	}
	u[key] = up
	return nil
}

// discard closes what next has and u has not: next is not taken into use.
func (u upstreams) discard(next upstreams) error {
	var problems []error
	for key, up := range next {
		if u[key] == nil {
			problems = append(problems, up.Close())
		}
	}
	return errors.Join(problems...)
}

// of is the upstream of a company.
func (u upstreams) of(c *configs.Config, company *configs.Company, hostname string) (*smtp.Upstream, error) {
	_, key, err := upstreamOptions(c, company, hostname)
	return u[key], err
}

// upstreamKey names what makes two upstreams the same. Passwords and the relay's
// certificate are read anew when they are needed, so a change of them needs no
// new upstream.
func upstreamKey(c *configs.Company, o smtp.UpstreamOptions, roots []byte) string {
	a := c.UpstreamAuth
	return fmt.Sprintf("%s %v %s %v %s %q %s %s %q %s %q %q %x", c.ID, o.Servers, o.Hostname, o.Timeouts,
		a.Mechanism, a.User, a.Password.Place(), &a.Token.URL, a.Token.ClientID, a.Token.ClientSecret.Place(), a.Token.Scope,
		c.UpstreamTLS, sha256.Sum256(roots))
}

// upstreamOptions is what the configuration says of a company's upstream, and
// the key under which it is kept.
func upstreamOptions(c *configs.Config, company *configs.Company, hostname string) (o smtp.UpstreamOptions, key string, err error) {
	o = smtp.UpstreamOptions{Hostname: hostname, Auth: upstreamAuth(company), Timeouts: smtp.UpstreamTimeouts{
		Dial: time.Duration(c.Timeouts.Connect), Command: time.Duration(c.Timeouts.Reply),
	}}
	for _, text := range company.Upstream {
		server, err := smtp.ParseServer(string(text))
		if err != nil {
			return o, "", err
		}
		o.Servers = append(o.Servers, server)
	}
	var roots []byte
	if o.Roots, roots, err = c.UpstreamRoots(company); err != nil {
		return o, "", err
	}
	if company.UpstreamTLS.Cert != "" {
		certificate := c.ClientCertificate(company)
		o.ClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() }
	}
	return o, upstreamKey(company, o, roots), nil
}

// upstreamAuth is how the relay logs in for a company; nil for not at all.
func upstreamAuth(c *configs.Company) *smtp.Auth {
	a := c.UpstreamAuth
	if !a.Enabled() {
		return nil
	}
	switch a.Mechanism {
	case configs.ByPlain:
		return smtp.PlainAuth(a.User, a.Password.Read)
	case configs.ByLogin:
		return smtp.LoginAuth(a.User, a.Password.Read)
	case configs.ByToken:
		return smtp.XOAuth2(a.User, &smtp.TokenSource{
			URL: a.Token.URL.String(), ClientID: a.Token.ClientID, Secret: a.Token.ClientSecret.Read, Scope: a.Token.Scope,
		})
	case configs.ByCert:
		return smtp.ExternalAuth(a.User)
	}
	return smtp.PasswordAuth(a.User, a.Password.Read)
}
