package smtp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(relayEnv); config != "" {
		if err := beRelay(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// authority makes certificates for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// withTLS gives the relay a certificate, users, and belief in client certificates.
func withTLS(a *authority) func(*Options, *rig) {
	return func(o *Options, r *rig) {
		cert := a.issue("relay.example")
		o.TLS = &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
			ClientAuth:     tls.VerifyClientCertIfGiven, ClientCAs: a.pool, MinVersion: tls.VersionTLS12,
		}
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		if err != nil {
			r.t.Fatal(err)
		}
		o.Companies[0].Networks = nil
		o.Companies[0].ClientNames = []string{"mail.company.example"}
		o.Companies[0].Users = []User{
			{Name: "ats", Hash: string(hash), Domains: []string{"company.example"}},
			{Name: "free", Hash: string(hash)},
		}
	}
}

// startTLS runs the handshake on the client's side.
func (p *peer) startTLS(cfg *tls.Config) *peer {
	p.t.Helper()
	p.talk("C: EHLO c", "S: 250*STARTTLS*", "C: STARTTLS", "S: 220 2.0.0 Ready to start TLS")
	conn := tls.Client(p.conn, cfg)
	if err := conn.Handshake(); err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
	return newPeer(p.t, conn)
}

func plain(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	a := newAuthority(t)
	for _, tc := range []struct {
		name  string
		lines []string
		ends  bool
	}{
		{"needed", []string{"C: MAIL FROM:<a@company.example>", "S: 530 5.7.0 Authentication required"}, false},
		{"PLAIN", []string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 235 2.7.0*", "C: MAIL FROM:<a@company.example>", "S: 250*"}, false},
		{"PLAIN in two steps", []string{"C: AUTH PLAIN", "S: 334 ", "C: " + plain("ats", "secret"), "S: 235*"}, false},
		{"LOGIN", []string{"C: AUTH LOGIN", "S: 334 " + b64("Username:"), "C: " + b64("ats"), "S: 334 " + b64("Password:"), "C: " + b64("secret"), "S: 235*"}, false},
		{"LOGIN with name", []string{"C: auth login " + b64("ats"), "S: 334 " + b64("Password:"), "C: " + b64("secret"), "S: 235*"}, false},
		{"twice", []string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 235*", "C: AUTH PLAIN " + plain("ats", "secret"), "S: 503*"}, false},
		{"empty response", []string{"C: AUTH PLAIN =", "S: 501*"}, false},
		{"cancelled", []string{"C: AUTH LOGIN", "S: 334*", "C: *", "S: 501*", "C: NOOP", "S: 250*"}, false},
		{"no base64", []string{"C: AUTH PLAIN !!", "S: 501*"}, false},
		{"other identity", []string{"C: AUTH PLAIN " + b64("boss\x00ats\x00secret"), "S: 501*"}, false},
		{"unknown mechanism", []string{"C: AUTH CRAM-MD5", "S: 504*"}, false},
		{"foreign sender", []string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 235*", "C: MAIL FROM:<a@other.example>", "S: 550 5.7.1 Sender not allowed*",
			"C: MAIL FROM:<a@sub.company.example>", "S: 250*"}, false},
		{"null sender of a bound user", []string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 235*", "C: MAIL FROM:<>", "S: 250*"}, false},
		{"unbound user", []string{"C: AUTH PLAIN " + plain("free", "secret"), "S: 235*", "C: MAIL FROM:<a@other.example>", "S: 250*"}, false},
		{"wrong three times", []string{"C: AUTH PLAIN " + plain("ats", "x"), "S: 535*", "C: AUTH PLAIN " + plain("nobody", "secret"), "S: 535*",
			"C: AUTH PLAIN " + plain("ats", ""), "S: 421 4.7.0 Too many failed logins"}, true},
		{"overlong", []string{"C: AUTH PLAIN", "S: 334*", "C: " + strings.Repeat("A", 20000), "S: 500*"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, withTLS(a))
			p := r.dial().startTLS(&tls.Config{RootCAs: a.pool, ServerName: "relay.example"})
			p.talk("C: EHLO c", "S: 250*AUTH PLAIN LOGIN*")
			p.talk(tc.lines...)
			if tc.ends {
				p.closed()
			}
			if strings.Contains(r.logs.String(), "secret") {
				t.Error("the log holds a password")
			}
		})
	}
}

func TestAuthNeedsTLS(t *testing.T) {
	r := newRig(t, withTLS(newAuthority(t)))
	p := r.dial()
	p.send("EHLO c\r\n")
	if got := p.reply(); strings.Contains(got, "AUTH") {
		t.Errorf("AUTH is offered in plain text: %q", got)
	}
	p.talk("C: AUTH PLAIN "+plain("ats", "secret"), "S: 538 5.7.11 Encryption required", "C: MAIL FROM:<a@company.example>", "S: 530*")
}

func TestClientCertificate(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, withTLS(a))
	for _, tc := range []struct{ name, want string }{
		{"mail.company.example", "S: 250*"},
		{"other.example", "S: 530*"},
	} {
		p := r.dial().startTLS(&tls.Config{RootCAs: a.pool, ServerName: "relay.example", Certificates: []tls.Certificate{a.issue(tc.name)}})
		p.talk("C: EHLO c", "S: 250*", "C: MAIL FROM:<a@company.example>", tc.want)
	}
}

// TestSTARTTLSInjection: commands sent in plain text behind STARTTLS are not
// executed after the handshake, and what was said before it does not count.
func TestSTARTTLSInjection(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, withTLS(a))
	p := r.dial()
	p.send("EHLO evil\r\nSTARTTLS\r\nEHLO injected\r\nNOOP\r\n")
	p.expect("250*")
	p.expect("220*")
	conn := tls.Client(p.conn, &tls.Config{RootCAs: a.pool, ServerName: "relay.example"})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	p = newPeer(t, conn)
	p.talk("C: MAIL FROM:<a@b>", "S: 503 5.5.1 EHLO first", "C: EHLO c", "S: 250*", "C: STARTTLS", "S: 503*")
}

func TestHandshakeFails(t *testing.T) {
	r := newRig(t, withTLS(newAuthority(t)))
	p := r.dial()
	p.talk("C: EHLO c", "S: 250*", "C: STARTTLS", "S: 220*")
	p.send("EHLO plaintext\r\nMAIL FROM:<a@b>\r\n")
	rest, err := io.ReadAll(p.in)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the connection stays open")
	}
	if bytes.Contains(rest, []byte("250")) {
		t.Errorf("plain text was answered after the handshake: %q", rest)
	}
}

func TestPasswords(t *testing.T) {
	key := argon2.IDKey([]byte("secret"), []byte("saltsalt"), 1, 1024, 1, 32)
	argon := fmt.Sprintf("$argon2id$v=19$m=1024,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString([]byte("saltsalt")), base64.RawStdEncoding.EncodeToString(key))
	crypted, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"argon2id", argon, "secret", true},
		{"argon2id, wrong", argon, "Secret", false},
		{"bcrypt", string(crypted), "secret", true},
		{"bcrypt, wrong", string(crypted), "", false},
		{"plain text matches nothing", "secret", "secret", false},
		{"empty", "", "", false},
		{"argon2id beyond its bounds", strings.Replace(argon, "m=1024", "m=4000000", 1), "secret", false},
		{"argon2id with a short key", argon[:len(argon)-30], "secret", false},
		{"argon2id without passes", strings.Replace(argon, "t=1", "t=0", 1), "secret", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := PasswordMatches(tc.hash, tc.password); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	if _, err := bcrypt.Cost([]byte(nobody)); err != nil {
		t.Errorf("the hash for unknown names is none: %v", err)
	}
}

func TestProxyProtocol(t *testing.T) {
	behind := func(o *Options, _ *rig) {
		o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		o.Companies[0].Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		o.Timeouts.Handshake = 200 * time.Millisecond
	}
	dial := func(r *rig) *peer {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		r.t.Cleanup(func() { conn.Close() })
		return newPeer(r.t, conn)
	}
	t.Run("version 1", func(t *testing.T) {
		p := dial(newRig(t, behind))
		p.talk("C: PROXY TCP4 192.0.2.7 192.0.2.1 5000 25", "S: 220*", "C: EHLO c", "S: 250*", "C: MAIL FROM:<a@b>", "S: 250*")
	})
	t.Run("another client behind it", func(t *testing.T) {
		p := dial(newRig(t, behind))
		p.talk("C: PROXY TCP4 198.51.100.7 192.0.2.1 5000 25", "S: 220*", "C: EHLO c", "S: 250*", "C: MAIL FROM:<a@b>", "S: 550*")
	})
	t.Run("no header", func(t *testing.T) {
		p := dial(newRig(t, behind))
		p.send("EHLO c\r\nMAIL FROM:<a@b>\r\n")
		p.closed()
	})
	t.Run("silence", func(t *testing.T) { dial(newRig(t, behind)).closed() })
	t.Run("header from elsewhere is a bad command", func(t *testing.T) {
		p := newRig(t).dial()
		p.talk("C: PROXY TCP4 192.0.2.7 192.0.2.1 5000 25", "S: 500*")
	})
}

func TestCaps(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
	}{
		{"all", Limits{Connections: 2}},
		{"per address", Limits{ConnectionsPerIP: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(o *Options, _ *rig) { o.Limits = tc.limits })
			first := r.dial()
			r.dial()
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			third := newPeer(t, conn)
			third.expect("421 4.7.0 Too many connections, try again later")
			third.closed()
			first.talk("C: QUIT", "S: 221*")
			first.closed()
			r.dialUntilGreeted()
		})
	}
}

// dialUntilGreeted waits until a place is free again.
func (r *rig) dialUntilGreeted() {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			r.t.Fatal(err)
		}
		greeting := newPeer(r.t, conn).reply()
		conn.Close()
		if strings.HasPrefix(greeting, "220 ") {
			return
		}
	}
	r.t.Fatal("the place of a client that left is not given to another")
}

func TestRecipientLimit(t *testing.T) {
	r := newRig(t, func(o *Options, _ *rig) { o.Limits.Recipients = 1 })
	p := r.dial()
	p.envelope()
	p.talk("C: RCPT TO:<b@c>", "S: 452 4.5.3 Too many recipients")
}

// TestTimeouts: a silent client is told and closed; in mid-message with 451; one
// that sends steadily is not cut, however long it takes.
func TestTimeouts(t *testing.T) {
	quick := func(o *Options, _ *rig) {
		o.Timeouts.Command, o.Timeouts.Data = 150*time.Millisecond, 150*time.Millisecond
	}
	t.Run("command", func(t *testing.T) {
		p := newRig(t, quick).dial()
		p.expect("421 4.4.2 Timeout")
		p.closed()
	})
	t.Run("command, octet by octet", func(t *testing.T) {
		p := newRig(t, quick).dial()
		go drip(p.conn, strings.Repeat("N", 100))
		p.expect("421 4.4.2 Timeout")
	})
	t.Run("message, and its rest is no command", func(t *testing.T) {
		r := newRig(t, quick)
		p := r.dial()
		p.envelope()
		p.talk("C: DATA", "S: 354*")
		p.send(plainMail)
		p.expect("451 4.4.2 Timeout while receiving the message")
		io.WriteString(p.conn, "\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nX\r\n.\r\n") // may be closed already
		p.closed()
		if got := r.upstream.got(); len(got) != 0 {
			t.Errorf("delivered %+v", got)
		}
	})
	t.Run("steady", func(t *testing.T) {
		r := newRig(t, quick)
		p := r.dial()
		p.envelope()
		p.talk("C: DATA", "S: 354*")
		drip(p.conn, plainMail[:30])
		p.send(plainMail[30:] + ".\r\n")
		p.expect("250*")
	})
	t.Run("CR . CR and silence", func(t *testing.T) {
		r := newRig(t, quick)
		p := r.dial()
		p.envelope()
		p.talk("C: DATA", "S: 354*")
		p.send("A\r.\r")
		p.expect("550 5.6.11 Message contains a bare CR")
		p.closed()
	})
}

// drip sends text slowly: each octet comes well within the timeout, all of them
// long after it.
func drip(w io.Writer, text string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range text {
		<-tick.C
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return
		}
	}
}

// TestDrain: when the relay stops, idle clients hear 421, running transactions
// get their answer, new ones are refused, and Serve returns.
func TestDrain(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(_ *Options, r *rig) {
		r.upstream.data = func(context.Context, Content) (Reply, error) {
			close(started)
			<-release
			return say(250, "2.0.0 late but true"), nil
		}
	})
	idle, greeted, running, open := r.dial(), r.dial(), r.dial(), r.dial()
	greeted.talk("C: EHLO c", "S: 250*")
	open.envelope()
	running.envelope()
	running.talk("C: DATA", "S: 354*")
	running.send(plainMail + ".\r\n")
	<-started
	r.stop()
	for _, p := range []*peer{idle, greeted} {
		p.expect("421 4.3.2 Relay is restarting, try again")
		p.closed()
	}
	if conn, err := net.Dial("tcp", r.addr); err == nil {
		conn.Close()
		t.Error("the listener still accepts")
	}
	open.talk("C: RSET", "S: 250*", "S: 421*")
	open.closed()
	close(release)
	running.talk("S: 250 2.0.0 late but true", "S: 421 4.3.2*")
	running.closed()
	if err := <-r.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	r.done <- nil
}

// TestDrainEnds: a transaction that does not end is cut when the time is over.
func TestDrainEnds(t *testing.T) {
	r := newRig(t, func(o *Options, _ *rig) { o.Timeouts.Drain = 50 * time.Millisecond })
	p := r.dial()
	p.envelope()
	p.talk("C: DATA", "S: 354*")
	p.send("half a mess")
	r.stop()
	p.closed()
	if got := r.upstream.got(); len(got) != 0 {
		t.Errorf("delivered %+v", got)
	}
}

// TestReload: a swap of the companies reaches clients that are connected, the
// switch to off even messages whose transaction has begun; a bad one changes
// nothing.
func TestReload(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.envelope()
	c := r.proxy.o.Companies[0]
	c.Mode = Off
	if err := r.proxy.SetCompanies([]Company{c, c}); err == nil {
		t.Error("two companies of one id are accepted")
	}
	if err := r.proxy.SetCompanies([]Company{c}); err != nil {
		t.Fatal(err)
	}
	p.talk("C: DATA", "S: 354*")
	p.send(rejectionMail + ".\r\n")
	p.expect("250*")
	if got := body(t, r.upstream.got()[0].message); got != rejectionMail {
		t.Errorf("edited although switched off: %q", got)
	}
	c.Mode = Insert
	if err := r.proxy.SetCompanies([]Company{c}); err != nil {
		t.Fatal(err)
	}
	p.envelope()
	p.talk("C: DATA", "S: 354*")
	p.send(rejectionMail + ".\r\n")
	p.expect("250*")
	if got := body(t, r.upstream.got()[1].message); got == rejectionMail {
		t.Error("not edited after it was switched on again")
	}
}

// TestDrainTLS: an idle client hears of the stop through its encryption.
func TestDrainTLS(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, withTLS(a))
	p := r.dial().startTLS(&tls.Config{RootCAs: a.pool, ServerName: "relay.example"})
	p.talk("C: EHLO c", "S: 250*")
	r.stop()
	p.expect("421 4.3.2 Relay is restarting, try again")
	p.closed()
}

// TestListenerLost: Serve ends with an error when its listener is closed by
// somebody else, and its clients are told to go.
func TestListenerLost(t *testing.T) {
	proxy, err := New(testOptions(t, &fakeUpstream{extensions: allExtensions()}, &fakeReferrals{}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(context.Background(), l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := newPeer(t, conn)
	p.expect("220*")
	l.Close()
	p.expect("421 4.3.2*")
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// TestNewRefuses: what cannot work is no relay.
func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(o *Options)
	}{
		{"no hostname", func(o *Options) { o.Hostname = "" }},
		{"no store", func(o *Options) { o.Referrals = nil }},
		{"no stamp key", func(o *Options) { o.StampKey = nil }},
		{"no keys", func(o *Options) { o.Keys = nil }},
		{"no upstream", func(o *Options) { o.Companies[0].upstream = nil }},
		{"no rules", func(o *Options) { o.Companies[0].editor = nil }},
		{"open relay", func(o *Options) { o.Companies[0].Networks = []netip.Prefix{netip.MustParsePrefix("::/0")} }},
		{"one id twice", func(o *Options) { o.Companies = append(o.Companies, o.Companies[0]) }},
		{"one user twice", func(o *Options) { o.Companies[0].Users = []User{{Name: "a"}, {Name: "a"}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := testOptions(t, &fakeUpstream{}, &fakeReferrals{})
			tc.change(&o)
			if _, err := New(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestOwnSenders: clients known by an address that others share send for the
// company's domains only.
func TestOwnSenders(t *testing.T) {
	r := newRig(t, func(o *Options, _ *rig) { o.Companies[0].OwnSenders = true })
	r.dial().talk("C: EHLO c", "S: 250*",
		"C: MAIL FROM:<a@other.example>", "S: 550 5.7.1 Sender not allowed*",
		"C: MAIL FROM:<a@company.example.other.example>", "S: 550 5.7.1 Sender not allowed*",
		"C: MAIL FROM:<a@sub.company.example>", "S: 250*", "C: RSET", "S: 250*",
		"C: MAIL FROM:<>", "S: 250*", "C: QUIT", "S: 221*")
}
