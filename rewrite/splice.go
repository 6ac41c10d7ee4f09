package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// EditOptions are the policies of an edit.
type EditOptions struct {
	BreakDKIM bool     // edit although a DKIM signature is there (the relay or a hop after it signs)
	StripDKIM string   // domain that signs the result: its old signatures are taken out; "" for none
	Links     []string // beginnings of our links: a text that has one is not edited again
	SevenBit  bool     // the next hop takes 7-bit messages only (RFC 6152)
}

// change is one edit of one text part, as its reader sees it.
type change struct {
	leaf       *leaf
	start, end int    // octets of the decoded body that are replaced
	data       []byte // what stands there instead, in the part's charset
	edit       Edit   // the same in the raw message
}

// Edited is a message and its edits: how it goes upstream.
type Edited struct {
	m       *Message
	changes []change
	removed []Edit // signatures that end with the edit
	strip   string // EditOptions.StripDKIM
}

// Edit finds the places for the block and encodes it for each target part: both
// parts of an alternative or neither. The error is an *Unedited when the message
// must pass as it came, with the reason; anything else is a read error.
func (m *Message) Edit(b Block, o EditOptions) (*Edited, error) {
	parts, err := m.editable(o)
	if err != nil {
		return nil, err
	}
	views, err := m.views(parts, o)
	if err != nil {
		return nil, err
	}
	e := &Edited{m: m, removed: m.stripSignatures(o.StripDKIM), strip: o.StripDKIM}
	if !m.severable(e.removed) {
		return nil, unedited("ambiguous_structure")
	}
	for _, v := range views {
		c, err := v.change(b, o)
		if err != nil {
			return nil, err
		}
		e.changes = append(e.changes, c)
	}
	return e, nil
}

// Edits returns the edits in the order of the message.
func (e *Edited) Edits() []Edit {
	edits := slices.Clone(e.removed)
	for _, c := range e.changes {
		edits = append(edits, c.edit)
	}
	sortEdits(edits)
	return edits
}

// Size is the number of bytes that WriteTo writes.
func (e *Edited) Size() int64 { return editedSize(e.m.size, e.Edits()) }

// WriteTo writes the edited message. It may be called again.
func (e *Edited) WriteTo(w io.Writer) (int64, error) {
	if err := Apply(w, e.m.r, e.m.size, e.Edits()); err != nil {
		return 0, fmt.Errorf("write edited message: %w", err)
	}
	return e.Size(), nil
}

// change places and encodes the block for one part.
func (v *view) change(b Block, o EditOptions) (change, error) {
	p, err := v.place(b)
	if err != nil {
		return change{}, err
	}
	data, err := v.encode(p, o)
	if err != nil {
		return change{}, err
	}
	l := v.leaf
	c := change{leaf: l, start: l.octet(p.start), end: l.octetEnd(p.start, p.end)}
	var ok bool
	if c.data, ok = l.shield(data, c.start); !ok {
		return change{}, unedited("charset_mismatch")
	}
	in := l.insert(c)
	if l.part.Encoding == "quoted-printable" && l.dec.qpStray(l.raw, c, in) {
		return change{}, unedited("qp_irregular")
	}
	if l.part.Encoding != "quoted-printable" && l.part.Encoding != "base64" && longLine(in.bytes) {
		return change{}, unedited("line_length")
	}
	base := l.part.Body.Start
	c.edit = Edit{Start: base + int64(in.start), End: base + int64(in.end), New: in.bytes}
	return c, nil
}

// octet returns where in the decoded octets the text offset lies: just behind
// the character before it, so that an escape sequence in front of the next
// character stays with that character.
func (l *leaf) octet(i int) int {
	if i > 0 && i <= len(l.text.text) && l.text.text[i-1] < 0x80 {
		return l.text.source(i-1) + 1
	}
	return l.text.source(i)
}

// octetEnd is octet for the end of a replaced range.
func (l *leaf) octetEnd(start, end int) int {
	if start == end {
		return l.octet(start)
	}
	return l.octet(end)
}

// shield returns to ASCII in front of data for ISO-2022-JP when the place lies
// behind a line end in a set of two-byte characters. That set stays ended: false
// if characters follow that need it. RFC 1468 wants each line to end in ASCII;
// where one does not, some readers begin the next in ASCII and some go on, and
// no insertion is right for both.
func (l *leaf) shield(data []byte, at int) ([]byte, bool) {
	if l.charset.family != iso2022JP {
		return data, true
	}
	i := bytes.LastIndexByte(l.dec.data[:at], 0x1b)
	if i < 0 {
		return data, true
	}
	esc := jisEscape(l.dec.data[i:])
	if len(esc) < 3 || asciiSet(esc) {
		return data, true
	}
	rest, _, _ := bytes.Cut(l.dec.data[at:], []byte("\x1b"))
	return append([]byte("\x1b(B"), data...), len(bytes.Trim(rest, "\r\n")) == 0
}

// insert is the change in the raw body, by transfer encoding.
func (l *leaf) insert(c change) insertion {
	switch l.part.Encoding {
	case "quoted-printable":
		return l.dec.insertQP(l.raw, c, l.charset, l.eol())
	case "base64":
		return l.dec.insertBase64(l.raw, c, l.eol())
	}
	return insertion{c.start, c.end, c.data}
}

// longLine tells whether a line is longer than RFC 5322, section 2.1.1, allows.
func longLine(b []byte) bool {
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if len(line) > 998 {
			return true
		}
	}
	return false
}

// encode converts the placed text to the charset of the part. HTML falls back to
// character references, plain text to the ASCII block.
func (v *view) encode(p placed, o EditOptions) ([]byte, error) {
	l := v.leaf
	sevenBit := l.sevenBit() || o.SevenBit && isASCII(l.raw) && l.part.Encoding == "8bit"
	fits := func(text string) ([]byte, bool) {
		b, err := l.charset.encode(strings.ReplaceAll(text, "\n", l.textEOL()))
		return b, err == nil && !(sevenBit && !isASCII(b))
	}
	if v.html == nil || !metaDisagrees(l) {
		if b, ok := fits(p.text); ok {
			return b, nil
		}
	}
	if v.html != nil {
		if b, ok := fits(characterReferences(p.text)); ok {
			return b, nil
		}
	} else if b, ok := fits(p.ascii); ok && p.ascii != "" {
		return b, nil
	}
	return nil, unedited("charset")
}

// characterReferences writes everything beyond ASCII as numeric references.
func characterReferences(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "&#%d;", r)
	}
	return b.String()
}

var metaCharset = regexp.MustCompile(`(?i)<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w.:-]+)`)

// metaDisagrees tells whether the HTML names another charset than the header:
// readers differ in whom they believe, so only ASCII is safe.
func metaDisagrees(l *leaf) bool {
	head := l.text.text[:min(len(l.text.text), 4096)]
	m := metaCharset.FindStringSubmatch(head)
	if m == nil {
		return false
	}
	cs := lookupCharset(m[1])
	return cs == nil || cs.name != l.charset.name
}
