package smtp

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// behind starts a relay whose clients come through one kind of door.
func behind(d Door) func(*Options, *rig) {
	return func(_ *Options, r *rig) { r.door = d }
}

// dialTLS connects to a door with implicit TLS.
func (r *rig) dialTLS(cfg *tls.Config) *peer {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.addr, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	p := newPeer(r.t, conn)
	p.expect("220 relay.example ESMTP Career Relay")
	return p
}

// clientConfig is a client's side of TLS, with a certificate if name is given.
func (a *authority) clientConfig(name string) *tls.Config {
	cfg := &tls.Config{RootCAs: a.pool, ServerName: "relay.example"}
	if name != "" {
		cfg.Certificates = []tls.Certificate{a.issue(name)}
	}
	return cfg
}

func TestImplicitTLS(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, withTLS(a), behind(Door{ImplicitTLS: true}))
	p := r.dialTLS(a.clientConfig(""))
	p.talk("C: EHLO c", "S: 250*AUTH PLAIN LOGIN*", "C: STARTTLS", "S: 503*", "C: AUTH PLAIN "+plain("ats", "secret"), "S: 235*")
	p.envelope()
	p.talk("C: DATA", "S: 354*", "C: "+strings.TrimSuffix(plainMail, "\r\n"), "C: .", "S: 250*", "C: QUIT", "S: 221*")
	if got := r.upstream.got(); len(got) != 1 || !strings.Contains(got[0].message, "with ESMTPSA id") {
		t.Errorf("upstream got %+v", got)
	}
}

// TestTLSVersions: what is older than TLS 1.2 is refused at both kinds of door.
func TestTLSVersions(t *testing.T) {
	a := newAuthority(t)
	old := a.clientConfig("")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	r := newRig(t, withTLS(a), behind(Door{ImplicitTLS: true}))
	if conn, err := tls.Dial("tcp", r.addr, old); err == nil {
		conn.Close()
		t.Error("implicit TLS 1.1 was accepted")
	}
	r = newRig(t, withTLS(a))
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*STARTTLS*", "C: STARTTLS", "S: 220*")
	if err := tls.Client(p.conn, old).Handshake(); err == nil {
		t.Error("STARTTLS with TLS 1.1 was accepted")
	}
	p.conn.Close()
}

// TestCertifiedDoor: without a certificate that is believed nothing goes
// through, not even the right password, and nobody may try one.
func TestCertifiedDoor(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	byNetwork := func(o *Options, _ *rig) { o.Companies[0].Networks = testOptions(t, nil, nil).Companies[0].Networks }
	const need = "S: 530 5.7.0 TLS with a client certificate required"
	from := "C: MAIL FROM:<hr@company.example>"
	t.Run("STARTTLS", func(t *testing.T) {
		r := newRig(t, withTLS(a), byNetwork, behind(Door{Certified: true}))
		r.dial().talk("C: EHLO c", "S: 250*STARTTLS*", from, need)
		r.dial().startTLS(a.clientConfig("")).talk("C: EHLO c", "S: 250*", "C: AUTH PLAIN "+plain("ats", "secret"), "S: 502*", from, need)
		r.dial().startTLS(a.clientConfig("any.example")).talk("C: EHLO c", "S: 250*", "C: AUTH PLAIN "+plain("ats", "secret"), "S: 235*", from, "S: 250*")
		r.dial().startTLS(a.clientConfig("mail.company.example")).talk("C: EHLO c", "S: 250*", from, "S: 250*")
	})
	t.Run("implicit TLS", func(t *testing.T) {
		r := newRig(t, withTLS(a), byNetwork, behind(Door{ImplicitTLS: true, Certified: true}))
		r.dialTLS(a.clientConfig("")).talk("C: EHLO c", "S: 250*", from, need)
		r.dialTLS(a.clientConfig("mail.company.example")).talk("C: EHLO c", "S: 250*", from, "S: 250*")
	})
	t.Run("certificate of a stranger", func(t *testing.T) {
		r := newRig(t, withTLS(a), behind(Door{ImplicitTLS: true, Certified: true}))
		cfg := a.clientConfig("")
		// Sent although the server does not name its authority.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert := stranger.issue("mail.company.example")
			return &cert, nil
		}
		conn, err := tls.Dial("tcp", r.addr, cfg)
		if err != nil {
			return // refused within the handshake, as TLS 1.2 can
		}
		newPeer(t, conn).closedByAlert()
		conn.Close()
	})
}

// closedByAlert expects an end with an error and no octet before it.
func (p *peer) closedByAlert() {
	p.t.Helper()
	if b, err := p.in.ReadByte(); err == nil {
		p.t.Fatalf("got %q, want a TLS alert", b)
	}
}

// TestCertificateChanges: each handshake asks for the certificate anew, at both
// kinds of door.
func TestCertificateChanges(t *testing.T) {
	a := newAuthority(t)
	for _, d := range []Door{{}, {ImplicitTLS: true}} {
		var current atomic.Pointer[tls.Certificate]
		r := newRig(t, behind(d), func(o *Options, _ *rig) {
			o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: []tls.Certificate{*current.Load()}, MinVersion: tls.VersionTLS12}, nil
			}}
		})
		for _, name := range []string{"old.example", "new.example"} {
			cert := a.issue(name)
			current.Store(&cert)
			cfg := &tls.Config{RootCAs: a.pool, ServerName: name}
			if d.ImplicitTLS {
				r.dialTLS(cfg)
			} else {
				r.dial().startTLS(cfg)
			}
		}
	}
}

// TestDoorNeedsCertificate: a door that asks for TLS does not open without it.
func TestDoorNeedsCertificate(t *testing.T) {
	proxy, err := New(testOptions(t, &fakeUpstream{}, &fakeReferrals{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Door{{ImplicitTLS: true}, {Certified: true}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := proxy.ServeDoor(context.Background(), l, d); err == nil {
			t.Errorf("ServeDoor(%+v) without a certificate served", d)
		}
		l.Close()
	}
}
