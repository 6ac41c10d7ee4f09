package configs

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// upstreamAuth checks the login at the upstream.
func (v validation) upstreamAuth(c *Company, key string) {
	a, base := &c.UpstreamAuth, filepath.Dir(v.c.file)
	at := key + ".upstream_auth"
	a.Password.base, a.Token.ClientSecret.base = base, base
	switch a.Mechanism {
	case ByToken:
		v.want(at+".user", a.User != "", "name the mailbox that sends")
		v.want(at+".token.url", a.Token.URL.Host != "", "write the token end point of your identity provider")
		v.want(at+".token.client_id", a.Token.ClientID != "", "write the id of the application that you registered")
		v.want(at+".token.client_secret", a.Token.ClientSecret.Set(), "name a file that holds it, or env:NAME")
		v.tokenURL(a.Token.URL, at+".token.url")
	case ByClient:
		if a.User != "" || a.Password.Set() {
			v.fail(at, "remove them", "user and password are the clients' own for mechanism pass")
		}
		v.passing(c, key)
	case ByCert:
		v.want(key+".upstream_tls.cert", c.UpstreamTLS.Cert != "", "external proves the certificate of upstream_tls")
	default:
		stated := v.set(at + ".mechanism")
		if (a.User == "") != !a.Password.Set() || stated && a.User == "" && !v.broken(at+".mechanism") {
			v.fail(at, "give both", "user and password belong together")
		}
	}
	if a.Mechanism != ByToken && v.set(at+".token") {
		v.fail(at+".token", "write mechanism: xoauth2, or remove it", "is of no use for mechanism %s", a.Mechanism)
	}
	v.secret(a.Password, at+".password")
	v.secret(a.Token.ClientSecret, at+".token.client_secret")
	if a.Enabled() {
		v.loginInClear(c, key)
	}
}

// Enabled tells whether the relay itself logs in.
func (a UpstreamAuth) Enabled() bool {
	return a.Mechanism != ByClient && (a.User != "" || a.Password.Set() || a.Mechanism == ByCert)
}

// passing checks a company whose clients log in at the upstream.
func (v validation) passing(c *Company, key string) {
	if v.c.TLS.Cert == "" && !v.loopbackOnly() {
		v.fail(key+".upstream_auth.mechanism", "add tls: {cert: …, key: …}", "passwords are taken under TLS only, and there is no certificate")
	}
	for i, u := range c.Upstream {
		if strings.HasPrefix(string(u), "smtp+insecure:") && !u.loopback() {
			v.fail(fmt.Sprintf("%s.upstream[%d]", key, i), "use smtp:// or smtps://", "the clients' passwords would be sent in plain text")
		}
	}
	if c.Sender.Address.Address != "" {
		v.warn(key+".sender", "let the upstream take mail from this machine without a login",
			"mails that candidates ask for go to the upstream without a login, for with mechanism pass the relay has none")
	}
	if c.bound() {
		return
	}
	for i := range v.c.Companies {
		other := &v.c.Companies[i]
		if other != c && (other.UpstreamAuth.Mechanism == ByClient && !other.bound() || other.UpstreamAuth.Mechanism != ByClient && len(other.Accept.Users) > 0) {
			v.fail(key+".accept", "list networks or client_names", "whose login it is cannot be told: companies[%d] takes logins too", i)
			return
		}
	}
}

// bound tells whether clients of the company are known before they log in.
func (c *Company) bound() bool { return len(c.Accept.Networks) > 0 || len(c.Accept.ClientNames) > 0 }

// loopback tells whether the server is this machine.
func (u Upstream) loopback() bool {
	p, err := url.Parse(string(u))
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(p.Hostname())
	return p.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func (v validation) tokenURL(u URL, key string) {
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme == "http" && !local {
		v.fail(key, "use https://", "the client's secret would be sent in plain text")
	}
}

// secret checks that a secret can be read.
func (v validation) secret(s Secret, key string) {
	if !s.Set() {
		return
	}
	if _, err := s.Read(); err != nil {
		v.fail(key, hintOf(err), "%v", err)
	}
}

func (v validation) loginInClear(c *Company, key string) {
	for i, u := range c.Upstream {
		if strings.HasPrefix(string(u), "smtp+insecure:") {
			v.fail(fmt.Sprintf("%s.upstream[%d]", key, i), "use smtp:// or smtps://", "the password would be sent in plain text")
		}
	}
}

// upstreamTLS checks the certificates towards the upstream.
func (v validation) upstreamTLS(c *Company, key string) {
	t, at := c.UpstreamTLS, key+".upstream_tls"
	if (t.Cert == "") != (t.Key == "") && !v.broken(at+".cert") {
		v.fail(at, "give both", "cert and key belong together")
		return
	}
	if _, err := v.c.ClientCertificate(c)(); t.Cert != "" && err != nil {
		v.fail(at+".cert", "relative names start from the folder of this file; the relay's user must be able to read it", "%v", rootCause(err))
	}
	if _, _, err := v.c.UpstreamRoots(c); err != nil {
		v.fail(at+".ca", "relative names start from the folder of this file; the file holds one or more certificates, PEM", "%v", rootCause(err))
	}
}
