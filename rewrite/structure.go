package rewrite

import (
	"fmt"
	"slices"
	"strings"
)

// structureTypes are the media types that a structure names; others may be words
// of the sender's own.
var structureTypes = []string{
	"multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed", "multipart/encrypted", "multipart/report", "multipart/digest",
	"text/plain", "text/html", "text/calendar", "text/enriched", "text/x-amp-html", "text/rfc822-headers",
	"message/rfc822", "message/delivery-status", "message/disposition-notification", "application/octet-stream", "application/pdf",
	"application/ms-tnef", "application/pkcs7-mime", "application/pkcs7-signature", "application/pgp-signature", "image/png", "image/jpeg", "image/gif",
}

// structure describes how the message is built, for a bug report, and nothing
// that it says: types, charsets and encodings from fixed lists, sizes, oddities.
func (m *Message) structure() string {
	var b strings.Builder
	m.Root.describeTo(&b, 0)
	return b.String()
}

// describedParts bounds the description: the trouble shows in the first parts.
const describedParts = 30

func (p *Part) describeTo(b *strings.Builder, n int) int {
	if n++; n > describedParts {
		return n
	}
	kind := p.MediaType
	if !slices.Contains(structureTypes, kind) {
		kind = "other"
	}
	fmt.Fprintf(b, "%s header %d body %d at %d", kind, p.Header.Len(), p.Body.Len(), p.Body.Start)
	if !p.Multipart() {
		encoding := p.Encoding
		if _, known := decodeTransfer(encoding, nil); !known {
			encoding = "other"
		}
		b.WriteString(" " + encoding)
	}
	if label := p.Params["charset"]; label != "" {
		charset := "other"
		if cs := lookupCharset(label); cs != nil {
			charset = cs.name
		}
		b.WriteString(" " + charset)
	}
	if p.Ambiguous != "" {
		b.WriteString(" " + p.Ambiguous)
	}
	if p.Multipart() && !p.Closed {
		b.WriteString(" unclosed")
	}
	for i, c := range p.Children {
		b.WriteString([]string{" (", ", "}[min(i, 1)])
		n = c.describeTo(b, n)
	}
	if len(p.Children) > 0 {
		b.WriteString(")")
	}
	return n
}
