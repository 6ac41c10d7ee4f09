package configs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLSConfig is the server's side of TLS; nil if no certificate is configured.
// Client certificates are asked for and verified if client_ca is set, and never
// demanded: who may send is decided by the companies' accept lists.
func (c *Config) TLSConfig() (*tls.Config, error) {
	if c.TLS.Cert == "" || c.TLS.Key == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.Path(c.TLS.Cert), c.Path(c.TLS.Key))
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if c.TLS.ClientCA == "" {
		return out, nil
	}
	pem, err := os.ReadFile(c.Path(c.TLS.ClientCA))
	if err != nil {
		return nil, fmt.Errorf("load client authorities: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("load client authorities: no certificate in the file")
	}
	out.ClientAuth = tls.VerifyClientCertIfGiven
	return out, nil
}

// ClientCertificate reads the certificate that the relay shows to the company's
// upstream, each time anew: a renewed one needs no reload. While the files cannot
// be read, or do not fit together (they are being replaced), the last good one serves.
// The function may be called from several goroutines.
func (c *Config) ClientCertificate(company *Company) func() (*tls.Certificate, error) {
	cert, key := c.Path(company.UpstreamTLS.Cert), c.Path(company.UpstreamTLS.Key)
	var last atomic.Pointer[tls.Certificate]
	return func() (*tls.Certificate, error) {
		now, err := tls.LoadX509KeyPair(cert, key)
		if err == nil {
			last.Store(&now)
			return &now, nil
		}
		if old := last.Load(); old != nil {
			return old, nil
		}
		return nil, fmt.Errorf("load certificate: %w", err)
	}
}

// UpstreamRoots are the authorities that may sign for the company's upstream,
// and their file's content; nil for those of the system.
func (c *Config) UpstreamRoots(company *Company) (*x509.CertPool, []byte, error) {
	return c.roots(company.UpstreamTLS.CA)
}

// WebhookRoots are the authorities that may sign for the agency's webhook; nil
// for those of the system.
func (c *Config) WebhookRoots() (*x509.CertPool, error) {
	roots, _, err := c.roots(c.Agency.Webhook.CA)
	return roots, err
}

func (c *Config) roots(file Path) (*x509.CertPool, []byte, error) {
	if file == "" {
		return nil, nil, nil
	}
	pem, err := os.ReadFile(c.Path(file))
	if err != nil {
		return nil, nil, fmt.Errorf("load authorities: %w", rootCause(err))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, errors.New("load authorities: no certificate in the file")
	}
	return roots, pem, nil
}
