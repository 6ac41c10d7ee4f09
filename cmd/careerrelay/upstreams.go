package main

import (
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
		o, err := upstreamOptions(company, c.Timeouts, hostname)
		if err == nil {
			err = next.add(u, upstreamKey(company, o), o)
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
func (u upstreams) of(c *configs.Company, t configs.Timeouts, hostname string) (*smtp.Upstream, error) {
	o, err := upstreamOptions(c, t, hostname)
	return u[upstreamKey(c, o)], err
}

// upstreamKey names what makes two upstreams the same. The password is read anew
// for each login, so a change of it needs no new upstream.
func upstreamKey(c *configs.Company, o smtp.UpstreamOptions) string {
	return fmt.Sprintf("%s %v %s %q %v", c.ID, o.Servers, o.Hostname, c.UpstreamAuth.User, o.Timeouts)
}

func upstreamOptions(c *configs.Company, t configs.Timeouts, hostname string) (smtp.UpstreamOptions, error) {
	o := smtp.UpstreamOptions{Hostname: hostname, Timeouts: smtp.UpstreamTimeouts{
		Dial: time.Duration(t.Connect), Command: time.Duration(t.Reply),
	}}
	for _, text := range c.Upstream {
		server, err := smtp.ParseServer(string(text))
		if err != nil {
			return o, err
		}
		o.Servers = append(o.Servers, server)
	}
	if c.UpstreamAuth.User != "" {
		o.Auth = smtp.PlainAuth(c.UpstreamAuth.User, c.UpstreamAuth.Password.Read)
	}
	return o, nil
}
