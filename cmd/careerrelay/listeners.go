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
	smtp  []door
	web   net.Listener
	admin net.Listener // nil: not configured
}

// door is a socket that takes mail.
type door struct {
	net.Listener
	smtp.Door
}

func openListeners(c configs.Listen) (*listeners, error) {
	l := &listeners{}
	if err := l.open(c); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *listeners) open(c configs.Listen) error {
	if err := l.openDoors("listen.smtp", c.SMTP, false, c.RequireCertificate); err != nil {
		return err
	}
	if err := l.openDoors("listen.smtps", c.SMTPS, true, c.RequireCertificate); err != nil {
		return err
	}
	var err error
	if l.web, err = listen("listen.web", c.Web); err != nil {
		return err
	}
	if c.Admin != "" {
		l.admin, err = listen("listen.admin", c.Admin)
	}
	return err
}

func (l *listeners) openDoors(key string, all []configs.Address, implicit bool, certified []configs.Address) error {
	for i, a := range all {
		one, err := listen(fmt.Sprintf("%s[%d]", key, i), a)
		if err != nil {
			return err
		}
		l.smtp = append(l.smtp, door{one, smtp.Door{ImplicitTLS: implicit, Certified: slices.Contains(certified, a)}})
	}
	return nil
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
	for _, one := range []net.Listener{l.web, l.admin} {
		if one != nil {
			all = append(all, one.Close())
		}
	}
	return errors.Join(all...)
}
