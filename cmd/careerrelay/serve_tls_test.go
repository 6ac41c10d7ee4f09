package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// newRelayTLS is a relay with STARTTLS on its usual address and implicit TLS on
// another one, where a certificate is demanded.
func newRelayTLS(t *testing.T, ca *smtptest.Authority) (r *relay, smtps string) {
	t.Helper()
	r, smtps = newRelay(t), smtptest.FreeAddr(t)
	smtptest.WriteFiles(t, r.dir, ca.Issue(t, "relay.example"))
	if err := os.WriteFile(filepath.Join(r.dir, "ca.pem"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(r.text(), "listen:\n", fmt.Sprintf("listen:\n  smtps: [%q]\n  require_certificate: [%q]\n", smtps, smtps), 1)
	r.write(t, text+"tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem}\n")
	return r, smtps
}

// certificateName is the name in the certificate that a listener shows.
func certificateName(t *testing.T, address string, implicit bool, cfg *tls.Config) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if !implicit {
		if _, err := fmt.Fprint(conn, "EHLO c.example\r\nSTARTTLS\r\n"); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for one := make([]byte, 1); !strings.HasSuffix(said.String(), "start TLS\r\n"); {
			if _, err := conn.Read(one); err != nil {
				t.Fatalf("after %q: %v", said.String(), err)
			}
			said.Write(one)
		}
	}
	c := tls.Client(conn, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return c.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// TestServeTLS: one listener with STARTTLS, one with TLS from the first octet; a
// renewed certificate comes into use without a restart.
func TestServeTLS(t *testing.T) {
	ca := smtptest.NewAuthority(t)
	r, smtps := newRelayTLS(t, ca)
	s := r.serve(t)
	cfg := &tls.Config{RootCAs: ca.Pool(), InsecureSkipVerify: true} // only the name is looked at
	for _, name := range []string{"relay.example", "renewed.example"} {
		if name != "relay.example" {
			smtptest.WriteFiles(t, r.dir, ca.Issue(t, name))
			if code, body := s.post(t, "/-/reload"); code != 200 {
				t.Fatalf("reload = %d %s", code, body)
			}
		}
		for _, door := range []struct {
			address  string
			implicit bool
		}{{r.smtp, false}, {smtps, true}} {
			if got := certificateName(t, door.address, door.implicit, cfg); got != name {
				t.Errorf("implicit %v: certificate for %s, want %s", door.implicit, got, name)
			}
		}
	}
}

// TestServeDemandsCertificate: at the address of require_certificate nobody
// sends without one, although the network may.
func TestServeDemandsCertificate(t *testing.T) {
	ca := smtptest.NewAuthority(t)
	r, smtps := newRelayTLS(t, ca)
	upstream := smtptest.NewUpstream(t, smtptest.Options{})
	r.write(t, strings.Replace(string(mustRead(t, r.file)), "127.0.0.1:2526", upstream.Addr(), 1))
	r.serve(t)
	cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: "relay.example"}
	for _, tt := range []struct {
		certs []tls.Certificate
		want  string
	}{{nil, "S: 530 5.7.0 *"}, {[]tls.Certificate{ca.Issue(t, "mail.example")}, "S: 250 *"}} {
		c := smtptest.Dial(t, smtps)
		one := cfg.Clone()
		one.Certificates = tt.certs
		c.Encrypt(one)
		c.Talk("S: 220 *", "C: EHLO mail.example", "S: 250-*", "C: MAIL FROM:<hr@sample.example.jp>", tt.want)
		c.Close()
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
