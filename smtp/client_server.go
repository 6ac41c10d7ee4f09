package smtp

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Security says how a connection to a server is protected.
type Security int

// The ways of protection. The zero value is the safe one.
const (
	VerifiedSTARTTLS Security = iota // STARTTLS is demanded and the certificate verified
	ImplicitTLS                      // TLS from the first octet, certificate verified
	Plaintext                        // no protection: only if the config says "insecure"
)

// Server is one mail server that takes our mail.
type Server struct {
	Host     string // name or address; the certificate must be for it
	Port     int
	Security Security
}

// schemes are the URL schemes of servers with their default ports.
func scheme(word string) (s Security, port int, found bool) {
	switch word {
	case "smtp":
		return VerifiedSTARTTLS, 25, true
	case "smtps":
		return ImplicitTLS, 465, true
	case "smtp+insecure":
		return Plaintext, 25, true
	}
	return 0, 0, false
}

// ParseServer reads smtp://host:port (STARTTLS demanded and verified),
// smtps://host:port (implicit TLS) or smtp+insecure://host:port (plaintext).
// The ports are 25, 465 and 25 where none is given.
func ParseServer(text string) (Server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Server{}, fmt.Errorf("parse server: not a URL such as smtp://mx.example:25")
	}
	security, port, found := scheme(u.Scheme)
	switch {
	case !found || u.Opaque != "":
		return Server{}, fmt.Errorf("parse server %q: begin with smtp://, smtps:// or smtp+insecure://", u.Redacted())
	case u.User != nil:
		return Server{}, fmt.Errorf("parse server %q: user and password do not belong here, set them as auth", u.Redacted())
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Server{}, fmt.Errorf("parse server %q: nothing may follow host and port", u.Redacted())
	case u.Hostname() == "":
		return Server{}, fmt.Errorf("parse server %q: host is missing", u.Redacted())
	}
	s := Server{Host: u.Hostname(), Port: port, Security: security}
	if p := u.Port(); p != "" {
		if s.Port, err = strconv.Atoi(p); err != nil || s.Port < 1 || s.Port > 65535 {
			return Server{}, fmt.Errorf("parse server %q: port must be 1 to 65535", u.Redacted())
		}
	}
	if err := s.check(); err != nil {
		return Server{}, fmt.Errorf("parse server %q: %w", u.Redacted(), err)
	}
	return s, nil
}

func (s Server) check() error {
	if s.Port < 1 || s.Port > 65535 {
		return fmt.Errorf("port must be 1 to 65535")
	}
	if _, err := netip.ParseAddr(s.Host); err == nil {
		return nil
	}
	if !validDomain(s.Host) || strings.HasPrefix(s.Host, "[") || !onlyASCII(s.Host) {
		return fmt.Errorf("host must be a name (in its xn-- form) or an address")
	}
	return nil
}

func onlyASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// Address is host and port as net.Dial takes them.
func (s Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// String is the server as ParseServer reads it.
func (s Server) String() string {
	switch s.Security {
	case ImplicitTLS:
		return "smtps://" + s.Address()
	case Plaintext:
		return "smtp+insecure://" + s.Address()
	}
	return "smtp://" + s.Address()
}

// loopback tells whether the server is this machine, as far as its name says.
func (s Server) loopback() bool {
	if a, err := netip.ParseAddr(s.Host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return strings.EqualFold(s.Host, "localhost")
}

// checkHelloName accepts a fully qualified name or an address literal (RFC 5321,
// section 4.1.3). Google's relay refuses "localhost", others every single word.
func checkHelloName(name string) error {
	if strings.HasPrefix(name, "[") {
		inner := strings.TrimPrefix(strings.TrimSuffix(name[1:], "]"), "IPv6:")
		a, err := netip.ParseAddr(inner)
		if err != nil || !strings.HasSuffix(name, "]") || a.Is6() != strings.HasPrefix(name, "[IPv6:") || a.IsLoopback() {
			return fmt.Errorf("%q is no address literal such as [192.0.2.1] or [IPv6:2001:db8::1]", name)
		}
		return nil
	}
	lower := strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(name); err == nil || !validDomain(name) || !onlyASCII(name) || !strings.Contains(lower, ".") ||
		strings.HasSuffix(lower, ".localhost") || strings.HasPrefix(lower, "localhost.") {
		return fmt.Errorf("%q is not fully qualified: upstreams refuse it, use a name such as relay.example.com", name)
	}
	return nil
}
