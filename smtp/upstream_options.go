package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// UpstreamOptions configure an Upstream. Servers and Hostname are required; a
// zero takes the default in brackets.
type UpstreamOptions struct {
	Servers  []Server // in the order of preference; the next one serves when one fails
	Hostname string   // said in EHLO: our fully qualified name, or an address literal
	Auth     *Auth    // nil: no login

	Roots *x509.CertPool // who may sign for servers [the system's]
	// ClientCertificate is asked at each handshake, so that a certificate may
	// change; nil: none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	MaxOpen     int           // transactions, and connections, at a time [50]
	MaxIdle     int           // connections that wait for work [10]
	MaxMessages int           // on one connection [100]
	IdleLife    time.Duration // of a connection that waits [60 s]
	// PreferChunking sends by BDAT wherever the server offers CHUNKING, and not only where
	// DATA cannot carry the message.
	PreferChunking bool
	Timeouts       UpstreamTimeouts

	Dial func(ctx context.Context, network, address string) (net.Conn, error) // [net.Dialer]
	Now  func() time.Time                                                     // [time.Now] for the breakers and the age of what is known
}

func (o UpstreamOptions) withDefaults() UpstreamOptions {
	o.MaxOpen = or(o.MaxOpen, 50)
	o.MaxIdle = min(or(o.MaxIdle, 10), o.MaxOpen)
	o.MaxMessages = or(o.MaxMessages, 100)
	o.IdleLife = or(o.IdleLife, 60*time.Second)
	o.Timeouts = o.Timeouts.withDefaults()
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// check finds all mistakes at once.
func (o *UpstreamOptions) check() error {
	var problems []error
	if len(o.Servers) == 0 {
		problems = append(problems, errors.New("no server is given"))
	}
	if err := checkHelloName(o.Hostname); err != nil {
		problems = append(problems, fmt.Errorf("hostname: %w", err))
	}
	for _, s := range o.Servers {
		if err := s.check(); err != nil {
			problems = append(problems, fmt.Errorf("server %s: %w", s, err))
		}
		if s.Security == Plaintext && o.Auth != nil && !s.loopback() {
			problems = append(problems, fmt.Errorf("server %s: a login needs smtp:// or smtps://, the secret would go over the net in clear", s))
		}
	}
	if o.MaxOpen < 0 || o.MaxIdle < 0 || o.MaxMessages < 0 || o.IdleLife < 0 {
		problems = append(problems, errors.New("sizes of the pool must not be negative"))
	}
	return errors.Join(problems...)
}

func (o *UpstreamOptions) tlsConfig(s Server) *tls.Config {
	return &tls.Config{
		ServerName: s.Host, RootCAs: o.Roots, MinVersion: tls.VersionTLS12,
		GetClientCertificate: o.clientCertificate,
	}
}

func (o *UpstreamOptions) clientCertificate(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if o.ClientCertificate == nil {
		return &tls.Certificate{}, nil
	}
	return o.ClientCertificate(i)
}
