package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
)

// upstreams holds the connections to mail servers across reloads: a company
// whose servers and login did not change keeps what it has.
type upstreams struct {
	mu   sync.Mutex // guards open
	open map[string]*smtp.Upstream
}

func newUpstreams() *upstreams { return &upstreams{open: map[string]*smtp.Upstream{}} }

// get returns the company's upstream, made on first use.
func (u *upstreams) get(c *configs.Company, t configs.Timeouts, hostname string) (*smtp.Upstream, error) {
	o, err := upstreamOptions(c, t, hostname)
	if err != nil {
		return nil, err
	}
	key := upstreamKey(c, o)
	u.mu.Lock()
	defer u.mu.Unlock()
	if up := u.open[key]; up != nil {
		return up, nil
	}
	up, err := smtp.NewUpstream(o)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	u.open[key] = up
	return up, nil
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

// close ends all connections.
func (u *upstreams) close(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var problems []error
	for _, up := range u.open {
		problems = append(problems, up.Close())
	}
	return errors.Join(problems...)
}
