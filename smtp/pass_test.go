package smtp

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// passRig is a relay that hands logins on to a real upstream, over TLS on both
// sides.
func passRig(t *testing.T, o smtptest.Options, change ...func(*Options, *rig)) (*rig, *authority, *smtptest.Upstream) {
	t.Helper()
	a, ca := newAuthority(t), smtptest.NewAuthority(t)
	o.TLS = ca.Server(t, "127.0.0.1")
	up := smtptest.NewUpstream(t, o)
	u := newPool(t, func(o *UpstreamOptions) { o.Servers[0].Security, o.Roots = VerifiedSTARTTLS, ca.Pool() }, up)
	passing := func(o *Options, _ *rig) {
		c := &o.Companies[0]
		c.PassAuth, c.Upstream, c.upstream = true, u, nil
		c.Users, c.Networks, c.ClientNames = nil, nil, nil
	}
	return newRig(t, append([]func(*Options, *rig){withTLS(a), passing}, change...)...), a, up
}

// knows is an upstream's list of one user.
func knows(user, password string) func(mechanism, user, secret string) bool {
	return func(_, u, s string) bool { return u == user && s == password }
}

// mailOf sends one message from an address.
func (p *peer) mailOf(from, want string) {
	p.t.Helper()
	p.talk("C: MAIL FROM:<"+from+">", want)
	if strings.HasPrefix(want, "S: 2") {
		p.talk("C: RCPT TO:<candidate@mail.example>", "S: 250*", "C: DATA", "S: 354*", "C: "+strings.TrimSuffix(plainMail, "\r\n"), "C: .", "S: 250*")
	}
}

// TestPassAuth: every way to log in reaches the upstream as the client said it,
// and its words come back.
func TestPassAuth(t *testing.T) {
	xoauth2 := b64("user=ats\x01auth=Bearer secret\x01\x01")
	tests := []struct {
		name, offered string
		dialogue      []string
	}{
		{"PLAIN", "PLAIN LOGIN", []string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 235 2.7.0 Authentication successful"}},
		{"PLAIN on demand", "PLAIN", []string{"C: auth plain", "S: 334 ", "C: " + plain("ats", "secret"), "S: 235*"}},
		{"LOGIN", "LOGIN", []string{"C: AUTH LOGIN", "S: 334 " + b64("Username:"), "C: " + b64("ats"), "S: 334 " + b64("Password:"), "C: " + b64("secret"), "S: 235*"}},
		{"LOGIN with the name", "LOGIN", []string{"C: AUTH LOGIN " + b64("ats"), "S: 334 " + b64("Password:"), "C: " + b64("secret"), "S: 235*"}},
		{"XOAUTH2", "XOAUTH2", []string{"C: AUTH XOAUTH2 " + xoauth2, "S: 235*"}},
		{"another, verbatim", "CRAM-MD5", []string{"C: AUTH CRAM-MD5", "S: 334 " + b64("<1.2@upstream.example>"), "C: " + b64("any\x00thing"), "S: 235*"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, a, up := passRig(t, smtptest.Options{Auth: tt.offered, Login: func(mechanism, user, secret string) bool {
				return user == "ats" && secret == "secret" || mechanism == "CRAM-MD5" && secret == "any\x00thing"
			}})
			p := r.dial().startTLS(a.clientConfig(""))
			p.talk("C: EHLO c", "S: 250*AUTH "+tt.offered+"*", "C: MAIL FROM:<hr@company.example>", "S: 530 5.7.0 Authentication required")
			p.talk(tt.dialogue...)
			p.talk("C: AUTH PLAIN "+plain("ats", "secret"), "S: 503*", "C: EHLO c", "S: 250*")
			p.mailOf("hr@company.example", "S: 250*")
			p.mailOf("hr@company.example", "S: 250*")
			p.talk("C: QUIT", "S: 221*")
			if got := up.Messages(); len(got) != 2 || !strings.Contains(got[0].Body, "with ESMTPSA id") {
				t.Errorf("upstream got %+v", got)
			}
			if got := up.Connections(); got != 2 { // one that asked for the extensions
				t.Errorf("%d connections upstream, want 2", got)
			}
			up.Await(t, "the client's connection to end with it", func() bool { return up.Open() == 1 })
			if strings.Contains(r.logs.String(), "secret") || strings.Contains(r.logs.String(), xoauth2) {
				t.Error("the log shows a secret")
			}
		})
	}
}

// TestPassIdentities: no identity uses the connection of another, nor that of
// clients without one.
func TestPassIdentities(t *testing.T) {
	r, a, up := passRig(t, smtptest.Options{Auth: "PLAIN"}, func(o *Options, _ *rig) {
		o.Companies[0].Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	var all []*peer
	for _, name := range []string{"one", "two", ""} {
		p := r.dial().startTLS(a.clientConfig(""))
		p.talk("C: EHLO c", "S: 250*")
		if name != "" {
			p.talk("C: AUTH PLAIN "+plain(name, "secret"), "S: 235*")
		}
		p.mailOf("hr@company.example", "S: 250*")
		all = append(all, p)
	}
	if got := up.Connections(); got != 3 { // the pool's, and one for each who logged in
		t.Errorf("%d connections upstream, want 3", got)
	}
	for _, p := range all {
		p.talk("C: QUIT", "S: 221*")
	}
	up.Await(t, "connections of clients that left to end", func() bool { return up.Open() == 1 })
	anonymous := r.dial().startTLS(a.clientConfig(""))
	anonymous.talk("C: EHLO c", "S: 250*")
	anonymous.mailOf("hr@company.example", "S: 250*")
	if got := up.Connections(); got != 3 {
		t.Errorf("%d connections upstream after an anonymous mail, want 3: the pool's own", got)
	}
}

// TestPassRefused: the upstream's words, a delay, and an end.
func TestPassRefused(t *testing.T) {
	r, a, up := passRig(t, smtptest.Options{Auth: "PLAIN", Login: knows("ats", "secret")})
	p := r.dial().startTLS(a.clientConfig(""))
	p.talk("C: EHLO c", "S: 250*")
	for range 2 {
		p.talk("C: AUTH PLAIN "+plain("ats", "wrong"), "S: 535 5.7.8 Authentication credentials invalid")
	}
	p.talk("C: MAIL FROM:<hr@company.example>", "S: 530*", "C: AUTH PLAIN "+plain("ats", "wrong"), "S: 421 4.7.0*")
	p.closed()
	if got := r.counter("careerrelay_smtp_logins_failed_total"); got != 3 {
		t.Errorf("%v failed logins were counted, want 3", got)
	}
	up.Await(t, "the refused connections to end", func() bool { return up.Open() == 1 })
}

// TestPassOddities: what is not an honest login never becomes one.
func TestPassOddities(t *testing.T) {
	ordinary := smtptest.Options{Auth: "PLAIN LOGIN EXTERNAL SCRAM-SHA-256-PLUS GSSAPI DIGEST-MD5 GS2-KRB5", Login: knows("ats", "secret")}
	tests := []struct {
		name     string
		o        smtptest.Options
		dialogue []string
	}{
		{"what cannot be handed on is not offered", ordinary, []string{"C: EHLO c", "S: 250-relay.example\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n*"}},
		{"EXTERNAL", ordinary, []string{"C: AUTH EXTERNAL =", "S: 504*"}},
		{"unknown", ordinary, []string{"C: AUTH NONE", "S: 504*"}},
		{"cancelled", ordinary, []string{"C: AUTH LOGIN", "S: 334*", "C: *", "S: 501 5.7.0*", "C: NOOP", "S: 250*"}},
		{"not base64", ordinary, []string{"C: AUTH LOGIN", "S: 334*", "C: ats; RSET", "S: 501 5.5.2*", "C: NOOP", "S: 250*"}},
		{"not base64 at once", ordinary, []string{"C: AUTH PLAIN a b", "S: 501 5.5.2*"}},
		{"after a cancel", ordinary, []string{"C: AUTH LOGIN", "S: 334*", "C: *", "S: 501*", "C: AUTH PLAIN " + plain("ats", "secret"), "S: 235*"}},
		{"too long", ordinary, []string{"C: AUTH PLAIN " + strings.Repeat("AAAA", 3100), "S: 500*"}},
		{"within a transaction", ordinary, []string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 235*", "C: MAIL FROM:<hr@company.example>", "S: 250*", "C: AUTH PLAIN " + plain("ats", "secret"), "S: 503*"}},
		{"question after question", smtptest.Options{Auth: "ENDLESS"},
			append(append([]string{"C: AUTH ENDLESS"}, slices.Repeat([]string{"S: 334*", "C: YQ=="}, maxQuestions)...), "S: 451*")},
		{"an answer too many", smtptest.Options{Auth: "LOGIN", Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Auth): smtptest.Say("334 Zm9y\n334 Zm9y")}},
			[]string{"C: AUTH LOGIN", "S: 334*", "C: YQ==", "S: 451 4.3.0*"}},
		{"upstream gone", smtptest.Options{Auth: "PLAIN", Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Auth): smtptest.Close()}},
			[]string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 451 4.4.2*", "C: MAIL FROM:<hr@company.example>", "S: 530*"}},
		{"a success that is none", smtptest.Options{Auth: "PLAIN", Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Auth): smtptest.Say("250 fine")}},
			[]string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 451 4.3.0*", "C: MAIL FROM:<hr@company.example>", "S: 530*"}},
		{"not now", smtptest.Options{Auth: "PLAIN", Faults: map[smtptest.Point]smtptest.Fault{smtptest.At(smtptest.Auth): smtptest.Say("454 4.7.0 Temporary authentication failure")}},
			[]string{"C: AUTH PLAIN " + plain("ats", "secret"), "S: 454 4.7.0 Temporary authentication failure"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, a, up := passRig(t, tt.o)
			p := r.dial().startTLS(a.clientConfig(""))
			p.talk("C: EHLO c", "S: 250*")
			p.talk(tt.dialogue...)
			if got := up.Messages(); len(got) != 0 {
				t.Errorf("upstream got %+v", got)
			}
		})
	}
}

// TestPassBinding: users that are listed may log in, and send for their domains.
func TestPassBinding(t *testing.T) {
	listed := func(o *Options, _ *rig) {
		o.Companies[0].Users = []User{{Name: "ats", Domains: []string{"company.example"}}, {Name: "free"}}
	}
	r, a, up := passRig(t, smtptest.Options{Auth: "PLAIN LOGIN CRAM-MD5"}, listed)
	dial := func() *peer {
		p := r.dial().startTLS(a.clientConfig(""))
		p.talk("C: EHLO c", "S: 250*AUTH PLAIN LOGIN\r\n*") // no mechanism that hides the name
		return p
	}
	p := dial()
	p.talk("C: AUTH PLAIN "+plain("ats", "secret"), "S: 235*")
	p.mailOf("hr@elsewhere.example", "S: 550 5.7.1 Sender not allowed for this user")
	p.mailOf("hr@jobs.company.example", "S: 250*")
	p = dial()
	p.talk("C: AUTH LOGIN", "S: 334*", "C: "+b64("free"), "S: 334*", "C: "+b64("secret"), "S: 235*")
	p.mailOf("hr@elsewhere.example", "S: 250*")
	logins := up.Count("AUTH")
	dial().talk("C: AUTH PLAIN "+plain("stranger", "secret"), "S: 535 5.7.8 Authentication failed")
	dial().talk("C: AUTH PLAIN "+b64("boss\x00ats\x00secret"), "S: 535*")
	dial().talk("C: AUTH PLAIN "+b64("no name"), "S: 535*")
	if got := up.Count("AUTH"); got != logins {
		t.Errorf("%d logins of strangers reached the upstream", got-logins)
	}
	dial().talk("C: AUTH LOGIN", "S: 334*", "C: "+b64("stranger"), "S: 535*")
}

// TestPassLost: a client whose connection upstream is gone must log in again.
func TestPassLost(t *testing.T) {
	r, a, up := passRig(t, smtptest.Options{Auth: "PLAIN"})
	p := r.dial().startTLS(a.clientConfig(""))
	p.talk("C: EHLO c", "S: 250*", "C: AUTH PLAIN "+plain("ats", "secret"), "S: 235*")
	p.mailOf("hr@company.example", "S: 250*")
	up.Drop()
	p.talk("C: MAIL FROM:<hr@company.example>", "S: 421 4.4.2 Connection to the next server lost, log in again")
	p.closed()
	if got := up.Messages(); len(got) != 1 {
		t.Errorf("upstream has %d messages, want 1", len(got))
	}
}

// TestPassReload: a company that hands logins on no more lets nobody send who
// logged in before.
func TestPassReload(t *testing.T) {
	r, a, _ := passRig(t, smtptest.Options{Auth: "PLAIN"})
	p := r.dial().startTLS(a.clientConfig(""))
	p.talk("C: EHLO c", "S: 250*", "C: AUTH PLAIN "+plain("ats", "secret"), "S: 235*")
	c := r.proxy.directory.Load().companies[0].Company
	c.PassAuth, c.ClientNames = false, []string{"mail.company.example"}
	if err := r.proxy.SetCompanies([]Company{c}); err != nil {
		t.Fatal(err)
	}
	p.talk("C: MAIL FROM:<hr@company.example>", "S: 550 5.7.1*")
}

// TestPassInClear: a login in plain text is offered on this machine alone, on
// either side.
func TestPassInClear(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{Auth: "PLAIN"})
	near := newPool(t, nil, up)
	far := newPool(t, func(o *UpstreamOptions) {
		o.Servers[0].Host = "mx.example"
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, up.Addr())
		}
	}, up)
	for _, tt := range []struct {
		name, header string
		u            *Upstream
		want         string
	}{
		{"near client, near upstream", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", near, "S: 235*"},
		{"far client", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", near, "S: 502*"},
		{"far upstream", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", far, "S: 504*"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(o *Options, _ *rig) {
				o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				c := &o.Companies[0]
				c.PassAuth, c.Upstream, c.upstream, c.Networks = true, tt.u, nil, nil
			})
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p := newPeer(t, conn)
			p.send(tt.header)
			p.talk("S: 220*", "C: EHLO c")
			if got := p.reply(); strings.Contains(got, "AUTH") != (tt.want == "S: 235*") {
				t.Errorf("EHLO says %q", got)
			}
			p.talk("C: AUTH PLAIN "+plain("ats", "secret"), tt.want)
		})
	}
}

// TestPassCompanies: it must always be clear at whose upstream a client logs in.
func TestPassCompanies(t *testing.T) {
	up := smtptest.NewUpstream(t, smtptest.Options{})
	passing := func(id string) Company {
		return Company{ID: id, PassAuth: true, Upstream: newPool(t, nil, up), editor: fakeEditor{}}
	}
	loggedIn := passing("b")
	loggedIn.Upstream = newPool(t, func(o *UpstreamOptions) { o.Auth = ExternalAuth("") }, up)
	withUsers := Company{ID: "b", Users: []User{{Name: "x"}}, upstream: &fakeUpstream{}, editor: fakeEditor{}}
	byNetwork := passing("b")
	byNetwork.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, tt := range []struct {
		name  string
		other Company
		good  bool
	}{
		{"two for everybody", passing("b"), false},
		{"beside users of another", withUsers, false},
		{"one by network", byNetwork, true},
		{"relay logs in itself", loggedIn, false},
		{"no real upstream", Company{ID: "b", PassAuth: true, upstream: &fakeUpstream{}, editor: fakeEditor{}}, false},
	} {
		o := testOptions(t, nil, &fakeReferrals{})
		o.Companies = []Company{passing("a"), tt.other}
		if _, err := New(o); (err == nil) != tt.good {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestPassSplit: copies of a split message go through the client's own
// connection too.
func TestPassSplit(t *testing.T) {
	r, a, up := passRig(t, smtptest.Options{Auth: "PLAIN"}, func(o *Options, _ *rig) { o.Companies[0].Recipients = SplitSeveral })
	p := r.dial().startTLS(a.clientConfig(""))
	p.talk("C: EHLO c", "S: 250*", "C: AUTH PLAIN "+plain("ats", "secret"), "S: 235*",
		"C: MAIL FROM:<hr@company.example>", "S: 250*", "C: RCPT TO:<one@mail.example>", "S: 250*", "C: RCPT TO:<two@mail.example>", "S: 250*",
		"C: DATA", "S: 354*", "C: "+strings.TrimSuffix(rejectionMail, "\r\n"), "C: .", "S: 250*", "C: QUIT", "S: 221*")
	if got := up.Messages(); len(got) != 2 || up.Connections() != 2 {
		t.Errorf("upstream got %d messages by %d connections: %+v", len(got), up.Connections(), got)
	}
}
