package rewrite

import (
	"net/textproto"
	"slices"
	"strings"
)

// guard is the reason why a message is not ours to judge, "" if it is.
func guard(r *Reading, env Envelope) string {
	candidates := 0
	for _, a := range env.Recipients {
		if !inDomains(a, env.OwnDomains) {
			candidates++
		}
	}
	switch {
	case skipped(r):
		return "skip_header"
	case candidates == 0:
		return "no_candidate"
	case candidates > 1:
		return "several_candidates"
	case r.Forwarded:
		return "forwarded"
	case bulk(r):
		return "newsletter"
	case autoReply(r):
		return "auto_reply"
	}
	return ""
}

// inDomains tells whether an address belongs to one of the domains or to a
// subdomain of one.
func inDomains(address string, domains []string) bool {
	domain := strings.ToLower(strings.TrimSuffix(address[strings.LastIndexByte(address, '@')+1:], "."))
	return slices.ContainsFunc(domains, func(own string) bool {
		return domain == own || strings.HasSuffix(domain, "."+own)
	})
}

func header(r *Reading, name string) string {
	return strings.ToLower(strings.TrimSpace(strings.Join(r.Header[textproto.CanonicalMIMEHeaderKey(name)], " ")))
}

// skipped: the sender asked us to leave this message alone.
func skipped(r *Reading) bool { return header(r, "X-Career-Relay") == "skip" }

// bulk tells mail to a list. Neither List-Unsubscribe nor "Precedence: bulk" does:
// applicant tracking systems put both into mails to one person.
func bulk(r *Reading) bool {
	return header(r, "List-Id") != "" || header(r, "List-Post") != "" || header(r, "Precedence") == "list"
}

// autoReply tells an answer by a machine (RFC 3834, section 5). A mail that a
// system generated on its own is something else: many rejections are.
func autoReply(r *Reading) bool {
	return strings.HasPrefix(header(r, "Auto-Submitted"), "auto-replied") || header(r, "X-Autoreply") != "" ||
		header(r, "Precedence") == "auto_reply"
}

// excludes tells whether the rule must not touch mail to these recipients.
func (r *compiledRule) excludes(env Envelope) bool {
	return slices.ContainsFunc(env.Recipients, func(a string) bool {
		a = strings.ToLower(a)
		return slices.ContainsFunc(r.Exclude, func(x string) bool {
			x = strings.ToLower(x)
			return a == x || !strings.Contains(x, "@") && inDomains(a, []string{x})
		})
	})
}
