package rewrite

import (
	"io"
	"maps"
	"mime"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// An edit breaks every DKIM signature of the message (RFC 6376). Where the relay
// signs it anew, the signatures of that domain are taken out: each whole field,
// and nothing else. Those of other domains, and ARC sets, stay as they are: they
// say who handled the message, and a verifier ignores what does not verify (RFC
// 6376, section 6.1; RFC 8617, section 5.2).

// SenderDomain is the domain of the address in the From field (values: all From
// fields of a message), in lower case and A-labels. It is "" unless there is one
// field and all its addresses have one domain: else nobody can say who signs.
func SenderDomain(values []string) string {
	if len(values) != 1 {
		return ""
	}
	words := mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}
	list, err := (&netmail.AddressParser{WordDecoder: &words}).ParseList(unfold([]byte(values[0])))
	if err != nil {
		return ""
	}
	domain := ""
	for _, a := range list {
		_, d, _ := cutLast(a.Address, "@")
		if d = asciiDomain(d); domain != "" && d != domain {
			return ""
		}
		domain = d
	}
	return domain
}

// asciiDomain is a domain in lower case and A-labels, as d= has it.
func asciiDomain(domain string) string {
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return strings.ToLower(domain)
}

// DomainCovers tells whether domain is of, or lies below it. Both are in lower
// case and A-labels.
func DomainCovers(of, domain string) bool {
	return of != "" && (domain == of || strings.HasSuffix(domain, "."+of))
}

// stripSignatures takes out the DKIM-Signature fields of a domain and of those
// below it: none if domain is "".
func (m *Message) stripSignatures(domain string) []Edit {
	var edits []Edit
	for _, f := range m.Fields() {
		if strings.EqualFold(f.Name, "DKIM-Signature") && DomainCovers(domain, signatureDomain(f.Value)) {
			edits = append(edits, Edit{Start: f.Span.Start, End: f.Span.End})
		}
	}
	return edits
}

// severable tells whether a field begins, or the header ends, behind each of the
// removed ones: readers take a line that is no field for more of the one above.
func (m *Message) severable(removed []Edit) bool {
	for _, e := range removed {
		if e.End != m.Root.Header.End && !slices.ContainsFunc(m.Fields(), func(f Field) bool { return f.Span.Start == e.End }) {
			return false
		}
	}
	return true
}

// signatureDomain is the d= tag of a DKIM-Signature value (RFC 6376, section
// 3.2); "" if it has none, or more than one.
func signatureDomain(value string) string {
	domain, tags := "", 0
	for tag := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(tag, "=")
		if strings.TrimSpace(name) == "d" {
			domain, tags = strings.Join(strings.Fields(v), ""), tags+1
		}
	}
	if tags != 1 {
		return ""
	}
	return asciiDomain(domain)
}

// domainTag finds the d= tag in another way than signatureDomain does.
var domainTag = regexp.MustCompile(`(?:^|;)[ \t\r\n]*d[ \t\r\n]*=([^;]*)`)

// proveHeader compares the header fields as the independent parser sees them:
// all are there, but for the signatures of the domain that is signed anew.
func (e *Edited) proveHeader(before, after textproto.MIMEHeader) error {
	const name = "Dkim-Signature"
	want := maps.Clone(before)
	if e.strip != "" {
		kept := slices.DeleteFunc(slices.Clone(want[name]), func(value string) bool {
			tags := domainTag.FindAllStringSubmatch(value, -1)
			return len(tags) == 1 && DomainCovers(e.strip, asciiDomain(strings.Join(strings.Fields(tags[0][1]), "")))
		})
		if want[name] = kept; len(kept) == 0 {
			delete(want, name)
		}
	}
	if !maps.EqualFunc(want, after, slices.Equal[[]string]) {
		return proofError("independent parser sees other header fields")
	}
	return nil
}
