package main

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
)

// listeners are all sockets of the relay, opened before anything else starts:
// a port that is taken is found out first.
type listeners struct {
	smtp    []door
	web     net.Listener
	admin   net.Listener // nil: not configured
	metrics net.Listener // nil: not configured
	agency  net.Listener // nil: not configured
	desk    net.Listener // of the dashboard; nil: not configured
}

// door is a socket that takes mail.
type door struct {
	net.Listener
	smtp.Door
}

// openListeners opens what the configuration names and takes what systemd opened
// already, whose addresses the configuration has in place of its own.
func openListeners(c configs.Listen, inherited sockets) (*listeners, error) {
	l := &listeners{}
	if err := l.open(c, inherited); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *listeners) open(c configs.Listen, inherited sockets) error {
	if err := l.openDoors("smtp", c.SMTP, c.RequireCertificate, inherited); err != nil {
		return err
	}
	if err := l.openDoors("smtps", c.SMTPS, c.RequireCertificate, inherited); err != nil {
		return err
	}
	var err error
	if l.web, err = listenOr(inherited.take("web"), "listen.web", c.Web); err != nil {
		return err
	}
	if c.Admin != "" {
		l.admin, err = listenOr(inherited.take("admin"), "listen.admin", c.Admin)
	}
	if c.Agency != "" && err == nil {
		l.agency, err = listenOr(inherited.take("agency"), "listen.agency", c.Agency)
	}
	if c.Metrics != "" && err == nil {
		l.metrics, err = listen("listen.metrics", c.Metrics)
	}
	if c.Dashboard != "" && err == nil {
		l.desk, err = listen("listen.dashboard", c.Dashboard)
	}
	return err
}

func (l *listeners) openDoors(name string, all, certified []configs.Address, inherited sockets) error {
	for i, a := range all {
		one, err := listenOr(inherited.take(name), fmt.Sprintf("listen.%s[%d]", name, i), a)
		if err != nil {
			return err
		}
		l.smtp = append(l.smtp, door{one, smtp.Door{ImplicitTLS: name == "smtps", Certified: slices.Contains(certified, a)}})
	}
	return nil
}

// listenOr is the socket that is there, or a new one.
func listenOr(there net.Listener, key string, a configs.Address) (net.Listener, error) {
	if there != nil {
		return there, nil
	}
	return listen(key, a)
}

// addresses are the addresses of the doors with implicit TLS, or of the others.
func (l *listeners) addresses(implicit bool) []string {
	var out []string
	for _, d := range l.smtp {
		if d.ImplicitTLS == implicit {
			out = append(out, d.Addr().String())
		}
	}
	return out
}

// close closes what is open; for a start that did not get further.
func (l *listeners) close() error {
	var all []error
	for _, d := range l.smtp {
		all = append(all, d.Close())
	}
	for _, one := range []net.Listener{l.web, l.admin, l.metrics, l.agency, l.desk} {
		if one != nil {
			all = append(all, one.Close())
		}
	}
	return errors.Join(all...)
}
