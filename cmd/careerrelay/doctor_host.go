package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/careerrelay/careerrelay/configs"
)

// What the doctor allows; each step ends by itself.
const (
	lookTime    = 30 * time.Second    // for one look
	renewBefore = 21 * 24 * time.Hour // of a certificate's end: time to act
	clockSlack  = time.Minute         // between two clocks
)

// configuration repeats the warnings of loading.
func (d *doctor) configuration() {
	for _, w := range d.config.Warnings() {
		d.say("configuration", warning, "", "%v", w)
	}
	if len(d.config.Warnings()) == 0 {
		d.say("configuration", fine, "", "%s, %s", d.config.File(), count(len(d.config.Companies), "company", "companies"))
	}
}

// host looks at the name that the relay gives itself in SMTP.
func (d *doctor) host(ctx context.Context) {
	const subject = "hostname"
	name, err := hostnameOf(d.config)
	if err != nil {
		d.say(subject, failed, "set hostname to the full name of this machine in DNS", "%v", err)
		return
	}
	d.hostname = name
	if !strings.Contains(name, ".") || strings.HasSuffix(name, ".localdomain") || strings.HasPrefix(name, "localhost") {
		d.say(subject, warning, "set hostname to the full name of this machine in DNS", "%s is no full name; Google and others refuse it in EHLO", name)
		return
	}
	d.resolves(ctx, subject, name, warning)
}

// resolves tells whether DNS knows a name, and h if it does not.
func (d *doctor) resolves(ctx context.Context, subject, name string, h health) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	addresses, err := d.lookup(ctx, name)
	if err != nil {
		d.say(subject, h, "make an A or AAAA record for "+name+", or mend the resolver of this machine", "DNS: %v", err)
		return false
	}
	d.say(subject, fine, "", "DNS: %s is %s", name, strings.Join(addresses, ", "))
	return true
}

// certificate looks at the files of the server's certificate.
func (d *doctor) certificate() {
	const subject = "certificate of the relay"
	config, err := d.config.TLSConfig()
	switch {
	case err != nil:
		d.say(subject, failed, "mend the files that tls.cert and tls.key name", "%v", err)
		return
	case config == nil:
		d.say(subject, warning, "set tls.cert and tls.key, unless all clients are on this machine",
			"none: no STARTTLS is offered, so no client can log in, and Microsoft 365 and Google send nothing")
		return
	}
	chain, err := parseChain(config.Certificates[0].Certificate)
	if err != nil {
		d.say(subject, failed, "mend the file that tls.cert names", "%v", err)
		return
	}
	d.chain(subject, chain, d.hostname)
}

func parseChain(raw [][]byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range raw {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		chain = append(chain, one)
	}
	return chain, nil
}

// chain looks at a certificate as somebody who connects to name would.
func (d *doctor) chain(subject string, chain []*x509.Certificate, name string) {
	leaf, between := chain[0], x509.NewCertPool()
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	now := d.now()
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: d.roots, Intermediates: between, CurrentTime: now})
	switch {
	case now.After(leaf.NotAfter) || now.Before(leaf.NotBefore):
		d.say(subject, failed, "renew it; the relay takes new file contents by itself", "valid from %s to %s, and now it is %s",
			leaf.NotBefore.UTC().Format(time.DateTime), leaf.NotAfter.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	case err != nil:
		d.say(subject, warning, "use a certificate for "+name+" of an authority that clients believe, with its chain in the file", "%v", err)
	default:
		d.expiry(subject, leaf, "names "+name+", issued by "+leaf.Issuer.CommonName)
	}
}

// expiry tells how long a certificate that is good now stays good.
func (d *doctor) expiry(subject string, leaf *x509.Certificate, detail string) {
	days := int(leaf.NotAfter.Sub(d.now()) / (24 * time.Hour))
	if leaf.NotAfter.Sub(d.now()) < renewBefore {
		d.say(subject, warning, "renew it now", "%s, ends in %s", detail, count(days, "day", "days"))
		return
	}
	d.say(subject, fine, "", "%s, ends in %d days", detail, days)
}

// secrets looks at who else can read the key files.
func (d *doctor) secrets() {
	for _, file := range []configs.Path{d.config.SecretFile, d.config.ProfileKeyFile} {
		path := d.config.Path(file)
		subject := "key file " + path
		info, err := os.Stat(path)
		switch {
		case os.IsNotExist(err):
			d.say(subject, skipped, "", "not there yet; the first start makes it")
		case err != nil:
			d.say(subject, failed, "let the relay's user read it", "%v", err)
		case info.Mode().Perm()&0o077 != 0:
			d.say(subject, failed, "chmod 600 "+path, "others may read it: mode %04o", info.Mode().Perm())
		default:
			d.say(subject, fine, "", "mode %04o; is it in the backup, apart from the store?", info.Mode().Perm())
		}
	}
}

// running asks the relay of this configuration how it is, if it runs.
func (d *doctor) running(ctx context.Context) {
	const subject = "running relay"
	if d.config.Listen.Admin == "" {
		d.say(subject, skipped, "set listen.admin, so that it can be asked", "listen.admin is not set")
		return
	}
	response, err := d.get(ctx, "http://"+string(d.config.Listen.Admin)+"/readyz")
	if err != nil {
		d.say(subject, warning, "start it: careerrelay serve --config "+d.config.File(), "%v", err)
		return
	}
	if response.status != http.StatusOK {
		d.say(subject, failed, "see its log", "%s", strings.TrimSpace(response.body))
		return
	}
	d.say(subject, fine, "", "takes mail, and its store can commit")
}

// webAnswer is what the doctor needs of an HTTP response.
type webAnswer struct {
	status int
	body   string
	date   string // header field
	tls    *tls.ConnectionState
}

// get asks a web server, follows no redirect and reads a bounded answer.
func (d *doctor) get(ctx context.Context, url string) (webAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return webAnswer{}, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.roots}, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return webAnswer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 256<<10))
	return webAnswer{response.StatusCode, string(body), response.Header.Get("Date"), response.TLS}, err
}

// listener talks to a listener of the relay as a client would.
func (d *doctor) listener(ctx context.Context, a configs.Address, implicitTLS bool) {
	subject := "listener " + string(a)
	conn, err := d.dial(ctx, reachable(string(a)))
	if err != nil {
		d.say(subject, warning, "start the relay; if it runs, look for a firewall", "%v", err)
		return
	}
	defer conn.Close()
	if implicitTLS {
		// The certificate itself is looked at in the file.
		conn = tls.Client(conn, &tls.Config{ServerName: d.hostname, InsecureSkipVerify: true})
	}
	client := gosmtp.NewClient(conn)
	if err := client.Hello(d.hostname); err != nil {
		d.say(subject, warning, "add this machine to accept.networks to have it looked at from here", "%v", err)
		return
	}
	d.say(subject, fine, "", "offers %s", offers(client, "SIZE", "STARTTLS", "AUTH", "8BITMIME", "CHUNKING", "DSN", "SMTPUTF8", "PIPELINING"))
	client.Quit() // it said what was asked
}

func (d *doctor) dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: lookTime}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(lookTime))
	}
	return conn, err
}

// reachable is a listener's address as a client on this machine dials it.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// offers names the extensions of a list that a server announced.
func offers(client *gosmtp.Client, names ...string) string {
	var out []string
	for _, name := range names {
		if ok, parameters := client.Extension(name); ok {
			out = append(out, strings.TrimSpace(name+" "+parameters))
		}
	}
	if slices.Contains(out, "STARTTLS") {
		return strings.Join(out, ", ")
	}
	return strings.Join(append(out, "no STARTTLS"), ", ")
}
