package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
)

// upstream looks at every mail server behind a company, as the relay will.
func (d *doctor) upstream(ctx context.Context, c *configs.Company) {
	up, err := d.upstreamOf(c)
	if err != nil {
		d.say("upstream of "+string(c.ID), failed, "mend the company's upstream", "%v", err)
		return
	}
	defer up.Close()
	if c.UpstreamTLS.Cert != "" {
		d.clientCertificate(c)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(c.Upstream))*lookTime)
	defer cancel()
	for _, found := range up.Probe(ctx) {
		d.server("upstream "+found.Server.String()+" of "+string(c.ID), found)
	}
}

// clientCertificate looks at the certificate that the relay shows its upstream.
func (d *doctor) clientCertificate(c *configs.Company) {
	subject := "client certificate for the upstream of " + string(c.ID)
	pair, err := d.config.ClientCertificate(c)()
	var chain []*x509.Certificate
	if err == nil {
		chain, err = parseChain(pair.Certificate)
	}
	if err != nil {
		d.say(subject, failed, "mend the files that upstream_tls names", "%v", err)
		return
	}
	if leaf := chain[0]; d.now().After(leaf.NotAfter) {
		d.say(subject, failed, "renew it; the relay takes new file contents by itself", "it ended at %s", leaf.NotAfter.UTC().Format(time.DateTime))
		return
	}
	d.expiry(subject, chain[0], "names "+strings.Join(chain[0].DNSNames, ", "))
}

// upstreamOf makes the upstream of a company as the relay does.
func (d *doctor) upstreamOf(c *configs.Company) (*smtp.Upstream, error) {
	o, _, err := upstreamOptions(d.config, c, d.hostname)
	if err != nil {
		return nil, err
	}
	if o.Roots == nil {
		o.Roots = d.roots
	}
	return smtp.NewUpstream(o)
}

// server tells what a look at one mail server found.
func (d *doctor) server(subject string, found smtp.Diagnosis) {
	if found.Err != nil {
		d.say(subject, failed, adviceFor(found.Err), "%v", found.Err)
		return
	}
	if d.isOurs(found.Remote) {
		d.say(subject, failed, "set upstream to the mail server behind the relay", "%s is this relay itself: every mail would go in circles", found.Remote)
		return
	}
	login := "no login"
	if found.LoggedIn {
		login = "logged in"
	}
	d.say(subject, fine, "", "%s, %s, answers in %v", found.Remote, login, found.RoundTrip.Round(10*time.Microsecond))
	d.upstreamTLS(subject, found)
	d.extensions(subject, found.Extensions)
}

// adviceFor says what to do about trouble with an upstream, by how far it came.
func adviceFor(err error) string {
	trouble, ok := errors.AsType[*smtp.UpstreamError](err)
	if !ok {
		return ""
	}
	switch trouble.Step {
	case "connect":
		return "check name and port, and that a firewall lets this machine out; many providers close port 25"
	case "STARTTLS", "TLS":
		return "the server's certificate must be for the name in upstream, from an authority that this machine believes; " +
			"smtp+insecure:// is for servers on this machine only"
	case "AUTH":
		return "check upstream_auth: mechanism, user, and password or token"
	case "greeting", "EHLO":
		return "the server may know only certain addresses or names: ask its admin, and check hostname"
	}
	return ""
}

// isOurs tells whether an address is one of our own listeners.
func (d *doctor) isOurs(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(slices.Concat(d.config.Listen.SMTP, d.config.Listen.SMTPS), func(a configs.Address) bool {
		host, port, err := net.SplitHostPort(string(a))
		if err != nil || port != strconv.Itoa(int(at.Port())) {
			return false
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.IsUnspecified() {
			return localAddress(at.Addr())
		}
		return ip.Unmap() == at.Addr().Unmap()
	})
}

// localAddress tells whether an address belongs to this machine.
func localAddress(ip netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ip.IsLoopback()
	}
	return slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip.Unmap()
	})
}

func (d *doctor) upstreamTLS(subject string, found smtp.Diagnosis) {
	remote, err := netip.ParseAddrPort(found.Remote)
	switch {
	case found.TLS != nil:
		d.expiry(subject, found.TLS.PeerCertificates[0], "TLS verified")
	case err == nil && remote.Addr().IsLoopback():
		d.say(subject, fine, "", "no TLS, and needs none on this machine")
	default:
		d.say(subject, warning, "use smtp:// (STARTTLS) or smtps://", "no TLS: mail and login cross the network readable")
	}
}

// extensions tells what a server lacks that mail may need. The relay announces
// what its upstream announces, so a gap is a limit and no danger.
func (d *doctor) extensions(subject string, theirs smtp.Extensions) {
	for _, one := range []struct{ keyword, without string }{
		{"8BITMIME", "the block goes out in seven bits, and clients must not send eight"},
		{"SMTPUTF8", "mail to addresses outside US-ASCII is refused"},
		{"DSN", "clients cannot ask for delivery notices"},
		{"PIPELINING", "each mail takes more round trips"},
	} {
		if _, ok := theirs[one.keyword]; !ok {
			d.say(subject, warning, "", "offers no %s: %s", one.keyword, one.without)
		}
	}
	size, err := strconv.ParseInt(theirs["SIZE"], 10, 64)
	if limit := int64(d.config.Limits.MessageSize); err == nil && size > limit {
		d.say(subject, warning, "raise limits.message_size if mails that large are sent",
			"takes %s bytes, and limits.message_size is %d: larger mails are refused by the relay", theirs["SIZE"], limit)
	}
}

// signatures looks up the keys that sign edited mail.
func (d *doctor) signatures(ctx context.Context, c *configs.Company) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	for _, found := range publishedKeys(ctx, c, d.lookupTXT) {
		subject := "DKIM key " + found.name
		if found.err != nil {
			d.say(subject, failed, "publish this TXT record: "+found.record, "%v", found.err)
			continue
		}
		d.say(subject, fine, "", "published as the relay signs")
	}
}

// linkHost opens the page "is this mail ours?" where candidates' links begin.
func (d *doctor) linkHost(ctx context.Context, c *configs.Company) {
	subject := "links of " + string(c.ID) + " at " + c.PublicURL.String()
	base := c.PublicURL.URL
	if ip := net.ParseIP(base.Hostname()); ip == nil && !d.resolves(ctx, subject, base.Hostname(), failed) {
		return
	}
	page := base.JoinPath("about")
	found, err := d.get(ctx, page.String())
	if err != nil {
		d.say(subject, failed, "candidates would see this. Point the host at a web server with a certificate that forwards to listen.web ("+
			string(d.config.Listen.Web)+") and keeps the Host header", "%v", err)
		return
	}
	d.page(subject, page, found)
	d.clock(subject, found.date)
}

func (d *doctor) page(subject string, page *url.URL, found webAnswer) {
	if found.status != http.StatusOK || !strings.Contains(found.body, string(d.config.Agency.Licence)) {
		d.say(subject, failed, "forward this host to listen.web, with the Host header as it came",
			"%s answers %d and does not name licence %s: this is not the relay's page", page, found.status, d.config.Agency.Licence)
		return
	}
	if found.tls == nil {
		h, advice := warning, "put TLS in front: browsers warn candidates, and forms cross the network readable"
		if ip := net.ParseIP(page.Hostname()); ip != nil && ip.IsLoopback() {
			h, advice = fine, ""
		}
		d.say(subject, h, advice, "the page answers, without TLS")
		return
	}
	d.expiry(subject, found.tls.PeerCertificates[0], "the page answers, its certificate")
}

// clock compares this machine's clock with a web server's. Links, stamps and
// deadlines live by it.
func (d *doctor) clock(subject, date string) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		d.say(subject, skipped, "", "the server sends no Date, so the clock was not compared")
		return
	}
	off := d.now().Sub(theirs).Abs()
	if off > clockSlack {
		d.say(subject, warning, "synchronise the clock of this machine (NTP), or of the web server", "the clocks differ by %v", off.Round(time.Second))
		return
	}
	d.say(subject, fine, "", "the clocks agree within %v", clockSlack)
}
