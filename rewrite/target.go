package rewrite

import (
	"bytes"
	"errors"
	"strings"
)

// Unedited says why a message passes as it came. Reason is one of Reasons.
type Unedited struct{ Reason string }

func (u *Unedited) Error() string { return "message is not edited: " + u.Reason }

// Reasons is the closed list of reasons for passing a message unedited, with
// what each means to the administrator.
func Reasons() map[string]string {
	return map[string]string{
		"limit_headers":       "the header is larger than limits.header_bytes",
		"limit_parts":         "the message has more parts than limits.parts",
		"limit_depth":         "multiparts are nested deeper than limits.depth",
		"limit_text":          "a text part is larger than limits.text_bytes",
		"limit_time":          "inspection took longer than timeouts.inspect",
		"signed":              "a part is signed (S/MIME or PGP): an edit would break the signature",
		"encrypted":           "a part is encrypted",
		"dkim":                "a DKIM signature or an ARC seal is present and the policy is skip",
		"report":              "a delivery report or other multipart/report",
		"calendar":            "an invitation (text/calendar)",
		"no_text":             "there is no text part that a person reads first",
		"empty_text":          "the newest text is empty",
		"ambiguous_structure": "mail programs may disagree on the structure",
		"transfer_encoding":   "an unknown Content-Transfer-Encoding",
		"base64_irregular":    "base64 that two readers may end at different places",
		"qp_irregular":        "quoted-printable with a stray = where the block would stand",
		"charset_unknown":     "an unknown charset label",
		"charset_mismatch":    "the bytes are not in the charset of their label",
		"charset_unsupported": "a charset that is read and never written, such as utf-16",
		"charset":             "the charset can carry neither the block nor the ASCII block",
		"already_present":     "our link is in the text: the message was here before",
		"html_place":          "no place in the HTML where a block could stand and be seen",
		"second_reader":       "the independent parser cannot read the message, so no edit could be proven",
		"line_length":         "the edit would make a line of more than 998 octets",
	}
}

func unedited(reason string) error { return &Unedited{reason} }

// readable lists the parts that hold the newest text, plain text first, without
// asking whether they may be edited.
func (m *Message) readable() []*Part {
	var t targets
	t.collect(m.Root)
	var parts []*Part
	if t.plain != nil {
		parts = append(parts, t.plain)
	}
	if t.html != nil {
		parts = append(parts, t.html)
	}
	return parts
}

// targets are the parts that carry the newest human-readable text: both parts of
// an alternative, or one.
type targets struct {
	plain, html *Part
}

func (t *targets) empty() bool { return t.plain == nil && t.html == nil }

// collect descends to the first text. A related part shows its first (root)
// child, an alternative all its children, any other multipart its first text.
func (t *targets) collect(p *Part) {
	switch {
	case !p.Multipart():
		t.take(p)
	case p.MediaType == "multipart/alternative":
		for _, c := range p.Children {
			t.collect(c)
		}
	case p.MediaType == "multipart/encrypted" || p.MediaType == "multipart/report":
	case p.MediaType == "multipart/signed" || p.MediaType == "multipart/related":
		if len(p.Children) > 0 {
			t.collect(p.Children[0])
		}
	default:
		for _, c := range p.Children {
			if t.collect(c); !t.empty() {
				return
			}
		}
	}
}

func (t *targets) take(p *Part) {
	switch {
	case p.attachment():
	case p.MediaType == "text/plain" && t.plain == nil:
		t.plain = p
	case p.MediaType == "text/html" && t.html == nil:
		t.html = p
	}
}

// editable checks what forbids any edit of the message and returns the targets.
func (m *Message) editable(o EditOptions) ([]*Part, error) {
	if m.Reason != "" {
		return nil, unedited(m.Reason)
	}
	if !o.BreakDKIM && (len(m.Values("DKIM-Signature")) > 0 || len(m.Values("ARC-Message-Signature")) > 0) {
		return nil, unedited("dkim")
	}
	if reason := m.forbidden(); reason != "" {
		return nil, unedited(reason)
	}
	parts := m.readable()
	if len(parts) == 0 {
		return nil, unedited("no_text")
	}
	for _, p := range parts {
		for up := p; up != nil; up = up.Parent {
			if up.Ambiguous != "" {
				return nil, unedited("ambiguous_structure")
			}
		}
	}
	return parts, nil
}

// forbidden looks at every part for a kind that makes any edit a harm.
func (m *Message) forbidden() (reason string) {
	m.Root.Walk(func(p *Part) {
		if reason != "" {
			return
		}
		switch p.MediaType {
		case "multipart/signed", "application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature":
			reason = "signed"
		case "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime":
			reason = "encrypted"
		case "multipart/report":
			reason = "report"
		case "text/calendar":
			if !p.attachment() {
				reason = "calendar"
			}
		}
	})
	return reason
}

// views decodes the targets and checks what only their text tells.
func (m *Message) views(parts []*Part, o EditOptions) ([]*view, error) {
	var views []*view
	for _, p := range parts {
		v, err := m.view(p)
		switch {
		case errors.Is(err, errTooLong):
			return nil, unedited("limit_text")
		case err != nil:
			return nil, err
		case v.leaf.unsure != "":
			return nil, unedited(v.leaf.unsure)
		case bytes.Contains(v.leaf.dec.data, []byte("-----BEGIN PGP SIGNED")):
			return nil, unedited("signed")
		case bytes.Contains(v.leaf.dec.data, []byte("-----BEGIN PGP MESSAGE")):
			return nil, unedited("encrypted")
		case o.present(v.leaf):
			return nil, unedited("already_present")
		}
		if m.limits.Expired() {
			return nil, unedited("limit_time")
		}
		views = append(views, v)
	}
	return views, nil
}

// present tells whether one of our links is in the text, or behind the words of
// one in HTML.
func (o EditOptions) present(l *leaf) bool {
	for _, link := range o.Links {
		if link != "" && (strings.Contains(l.text.text, link) || bytes.Contains(l.dec.data, []byte(link))) {
			return true
		}
	}
	return false
}
