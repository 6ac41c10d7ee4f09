package configs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
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
