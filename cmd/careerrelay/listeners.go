package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/careerrelay/careerrelay/configs"
)

// listeners are all sockets of the relay, opened before anything else starts:
// a port that is taken is found out first.
type listeners struct {
	smtp  []net.Listener
	web   net.Listener
	admin net.Listener // nil: not configured
}

func openListeners(c configs.Listen) (*listeners, error) {
	l := &listeners{}
	for i, a := range c.SMTP {
		one, err := listen(fmt.Sprintf("listen.smtp[%d]", i), a)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.smtp = append(l.smtp, one)
	}
	var err error
	if l.web, err = listen("listen.web", c.Web); err != nil {
		return nil, errors.Join(err, l.close())
	}
	if c.Admin == "" {
		return l, nil
	}
	if l.admin, err = listen("listen.admin", c.Admin); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// close closes what is open; for a start that did not get further.
func (l *listeners) close() error {
	var all []error
	for _, one := range append(l.smtp, l.web, l.admin) {
		if one != nil {
			all = append(all, one.Close())
		}
	}
	return errors.Join(all...)
}
