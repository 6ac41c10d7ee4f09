package smtp

import (
	"net/netip"
	"strings"
	"time"
)

// hop is what a Received line tells about one transaction (RFC 5321, section
// 4.4). It never has a "for" clause: a bcc recipient would be shown to others.
type hop struct {
	helo     string
	client   netip.Addr // zero: unknown
	hostname string     // ours
	protocol string     // RFC 3848 and RFC 6531, section 4.3
	id       string     // session and transaction, as in the log
	at       time.Time
}

// line is the header field, folded.
func (h hop) line() string {
	var b strings.Builder
	b.WriteString("Received: from ")
	b.WriteString(heloWord(h.helo))
	if h.client.IsValid() {
		b.WriteString(" (")
		b.WriteString(literal(h.client))
		b.WriteString(")")
	}
	b.WriteString("\r\n\tby ")
	b.WriteString(h.hostname)
	b.WriteString(" (Career Relay) with ")
	b.WriteString(h.protocol)
	b.WriteString(" id ")
	b.WriteString(h.id)
	b.WriteString(";\r\n\t")
	b.WriteString(h.at.Format(time.RFC1123Z))
	b.WriteString("\r\n")
	return b.String()
}

// heloWord lets through what a domain or an address literal may hold; a client
// says what it likes, and the line must stay a header line.
func heloWord(helo string) string {
	if helo == "" {
		return "unknown"
	}
	if len(helo) > maxDomain {
		helo = helo[:maxDomain]
	}
	return strings.Map(func(r rune) rune {
		if isAlnum(r) || strings.ContainsRune(".-_:[]", r) {
			return r
		}
		return '?'
	}, helo)
}

// literal is an address as RFC 5321, section 4.1.3 writes it.
func literal(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.WithZone("").String() + "]"
}

// protocolName is the registered word for how a message came in.
func protocolName(esmtp, utf8, tls, auth bool) string {
	switch {
	case !esmtp:
		return "SMTP"
	case utf8:
		return "UTF8SMTP" + suffix(tls, "S") + suffix(auth, "A")
	}
	return "ESMTP" + suffix(tls, "S") + suffix(auth, "A")
}

func suffix(on bool, letter string) string {
	if on {
		return letter
	}
	return ""
}
