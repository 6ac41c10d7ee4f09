package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Duration is a time span such as 90s, 10m, 12h, 90d or 3y. A year is counted
// as 366 days, so that n years are never less than n calendar years.
type Duration time.Duration

const day = 24 * time.Hour

func (d *Duration) parse(text string) error {
	const hint = "write a number and a unit: 90s, 10m, 12h, 90d, 3y"
	for unit, length := range map[string]time.Duration{"d": day, "y": 366 * day} {
		if number, found := strings.CutSuffix(text, unit); found {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n > 100*366 {
				return hinted(hint, "%q is not a time span", text)
			}
			*d = Duration(time.Duration(n) * length)
			return nil
		}
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return hinted(hint, "%q is not a time span", text)
	}
	*d = Duration(parsed)
	return nil
}

// String is the shortest form that parse reads back.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t > 0 && t%(366*day) == 0:
		return fmt.Sprintf("%dy", t/(366*day))
	case t > 0 && t%day == 0:
		return fmt.Sprintf("%dd", t/day)
	}
	out := t.String()
	if strings.HasSuffix(out, "m0s") {
		out = strings.TrimSuffix(out, "0s")
	}
	if strings.HasSuffix(out, "h0m") {
		out = strings.TrimSuffix(out, "0m")
	}
	return out
}

// Size is a number of bytes, such as 512KB, 1MiB or 50MB; the units with i are
// powers of 1024, the others of 1000.
type Size int64

var sizeForm = regexp.MustCompile(`^([0-9]{1,12})([KMG]i?)?B?$`)

var sizeUnits = map[string]int64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}

func (s *Size) parse(text string) error {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return hinted("write a number and a unit: 512KB, 1MiB, 50MB", "%q is not a size", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > (1<<62)/sizeUnits[m[2]] {
		return hinted("the largest sensible size is some GiB", "%q is too large", text)
	}
	*s = Size(n * sizeUnits[m[2]])
	return nil
}

// String is the shortest form that parse reads back.
func (s Size) String() string {
	for _, unit := range []string{"Gi", "G", "Mi", "M", "Ki", "K"} {
		if n := sizeUnits[unit]; s > 0 && int64(s)%n == 0 {
			return fmt.Sprintf("%d%sB", int64(s)/n, unit)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Address is a host:port to listen on; the host is an IP address, a name, or
// empty for all interfaces.
type Address string

func (a *Address) parse(text string) error {
	const hint = "write host and port: 127.0.0.1:2525, [::1]:2525, or :2525 for all interfaces"
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return hinted(hint, "%q is not an address to listen on", text)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return hinted(hint, "%q is not a port", port)
	}
	*a = Address(text)
	return nil
}

// Loopback tells whether only this machine can reach the address.
func (a Address) Loopback() bool {
	host, _, _ := net.SplitHostPort(string(a))
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Network is an IP network (192.0.2.0/24) or one address.
type Network struct{ netip.Prefix }

func (n *Network) parse(text string) error {
	const hint = "write a network such as 192.0.2.0/24 or one address such as 192.0.2.7"
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		n.Prefix = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return hinted(hint, "%q is not a network", text)
	}
	if p.Masked() != p {
		return hinted(fmt.Sprintf("did you mean %s, or the one address %s?", p.Masked(), p.Addr()),
			"%q has bits beyond its mask", text)
	}
	n.Prefix = p
	return nil
}

// Domain is a mail domain in lower case and ASCII (A-labels).
type Domain string

func (d *Domain) parse(text string) error {
	if _, domain, found := strings.Cut(text, "@"); found {
		return hinted(fmt.Sprintf("write the domain alone: %s", domain), "%q is an address, not a domain", text)
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(norm.NFKC.String(text), "."))
	if err != nil || ascii == "" || strings.ContainsAny(ascii, " /:*") {
		return hinted("write a mail domain such as example.co.jp; subdomains are included", "%q is not a domain", text)
	}
	*d = Domain(ascii)
	return nil
}

// Mailbox is a mail address, with or without a name in front: Sample Inc.
// <saiyo@example.co.jp>. The domain is kept in ASCII (A-labels).
type Mailbox struct{ mail.Address }

func (m *Mailbox) parse(text string) error {
	const hint = `write an address, or a name and an address: "Sample Inc. <saiyo@example.co.jp>"`
	a, err := mail.ParseAddress(text)
	if err != nil {
		return hinted(hint, "%q is not a mailbox", text)
	}
	local, domain, _ := cutAddress(a.Address)
	var d Domain
	if err := d.parse(domain); err != nil {
		return err
	}
	if strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
		return hinted("use plain letters in front of the @: not every mail server takes others", "%q is not a plain address", a.Address)
	}
	m.Address = mail.Address{Name: a.Name, Address: local + "@" + string(d)}
	return nil
}

// Domain is the part behind the @.
func (m Mailbox) Domain() Domain {
	_, domain, _ := cutAddress(m.Address.Address)
	return Domain(domain)
}

func cutAddress(a string) (local, domain string, found bool) {
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return a, "", false
	}
	return a[:at], a[at+1:], true
}

// URL is an absolute http or https URL without query and fragment.
type URL struct{ url.URL }

func (u *URL) parse(text string) error {
	p, err := url.Parse(text)
	if err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
		return hinted("write it in full: https://relay.example.com", "%q is not a web address", text)
	}
	if p.User != nil {
		return hinted("remove user and password", "a web address with a password in it would be shown to everyone")
	}
	u.URL = *p
	return nil
}

// Upstream is a mail server behind us, as scheme://host[:port]: smtp (STARTTLS
// required and verified), smtps (TLS from the first byte), or smtp+insecure.
type Upstream string

func (u *Upstream) parse(text string) error {
	const hint = "write smtp://host:port (STARTTLS, verified), smtps://host:port, or smtp+insecure://host:port for plain text"
	p, err := url.Parse(text)
	if err != nil || p.Scheme == "" || p.Hostname() == "" {
		return hinted(hint, "%q is not a mail server", text)
	}
	switch p.Scheme {
	case "smtp", "smtps", "smtp+insecure":
	default:
		return hinted(hint, "%q is not a way to reach a mail server", p.Scheme+"://")
	}
	if p.User != nil {
		return hinted("put user and password below upstream_auth", "user and password do not belong into the address")
	}
	if p.Path != "" || p.RawQuery != "" || p.Fragment != "" {
		return hinted(hint, "%q has more than host and port", text)
	}
	*u = Upstream(text)
	return nil
}

// Secret is a password or key that the configuration names and never holds:
// env:NAME or the path of a file. It prints as <secret>.
type Secret struct {
	from string
	base string // folder that a relative path starts from
}

func (s *Secret) parse(text string) error {
	if name, found := strings.CutPrefix(text, "env:"); found && name == "" {
		return hinted("write env:NAME", "names no environment variable")
	}
	s.from = text
	return nil
}

// SecretAt names a secret as a configuration would; a relative path starts from
// the current folder.
func SecretAt(text string) Secret { return Secret{from: text} }

// file is the name of the file that holds the secret, if it is in one.
func (s Secret) file() (string, bool) {
	return s.from, s.Set() && !strings.HasPrefix(s.from, "env:")
}

// Set tells whether a secret is named.
func (s Secret) Set() bool { return s.from != "" }

// Read returns the secret, without the line end of its file.
func (s Secret) Read() (string, error) {
	if name, found := strings.CutPrefix(s.from, "env:"); found {
		value, set := os.LookupEnv(name)
		if !set || value == "" {
			return "", hinted("export it before the start, or name a file", "environment variable %s is not set", name)
		}
		return value, nil
	}
	raw, err := os.ReadFile(resolve(s.base, s.from))
	if err != nil {
		return "", hinted("name a readable file that holds it, or env:NAME; the secret itself does not belong here",
			"secret cannot be read: %v", rootCause(err))
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if value == "" {
		return "", hinted("write the secret into it", "secret file is empty")
	}
	return value, nil
}

// Place identifies where the secret is kept, without showing it: an admin may
// have written the secret itself there.
func (s Secret) Place() string {
	sum := sha256.Sum256([]byte(s.base + "\x00" + s.from))
	return hex.EncodeToString(sum[:8])
}

// String, GoString and MarshalText keep the secret's place out of logs too: an
// admin may have written the secret itself there.
func (s Secret) String() string { return "<secret>" }

// GoString is String, for %#v.
func (s Secret) GoString() string { return "<secret>" }

// MarshalText is String, for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// rootCause drops the path from a file error: it may be the secret itself.
func rootCause(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

// resolve makes a path of the file absolute or relative to the folder of the
// configuration.
func resolve(base, path string) string {
	if filepath.IsAbs(path) || base == "" {
		return path
	}
	return filepath.Join(base, path)
}

// Path is a file name; a relative one starts from the folder of the configuration.
type Path string

func (p *Path) parse(text string) error {
	if strings.TrimSpace(text) == "" {
		return hinted("write a file name, or remove the key", "is empty")
	}
	*p = Path(text)
	return nil
}
