package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Inserted is one insertion that Compare found.
type Inserted struct {
	Part       string `json:"part"`  // media type and position, such as "text/plain (1.1)"
	Start, End int64  `json:"-"`     // raw bytes in the second message
	Text       string `json:"text"`  // as its reader sees it
	Bytes      int64  `json:"bytes"` // End - Start
	// Replaced is how many DKIM signatures the new one stands for; 0 for a text.
	Replaced int `json:"replaced,omitempty"`
}

// Difference is the first place where two messages differ by more than insertions.
type Difference struct {
	Where  string // header, part "1.2" …
	Offset int64  // in the first message
	Line   int    // 1-based, in the first message
	Before []byte // some bytes at the place
	After  []byte
}

func (d *Difference) Error() string {
	return fmt.Sprintf("%s: line %d, offset %d: before %q, after %q", d.Where, d.Line, d.Offset, d.Before, d.After)
}

// Compare proves from the outside, without knowing the edits, that after is
// before plus one contiguous insertion in some text parts. Trace lines (Received,
// Return-Path, Delivered-To, X-Original-To, new DKIM signatures) on top of after
// and all X-Career-Relay lines stand apart. A DKIM signature of before may be gone
// if after has a new one of its domain on top; then it is listed, without text. In
// base64 parts the decoded text is compared.
// The error is a *Difference, or a read error.
func Compare(before io.ReaderAt, beforeSize int64, after io.ReaderAt, afterSize int64) ([]Inserted, error) {
	a, err := parseWhole(before, beforeSize)
	if err != nil {
		return nil, err
	}
	b, err := parseWhole(after, afterSize)
	if err != nil {
		return nil, err
	}
	c := &comparison{a: a, b: b}
	if err := c.headers(); err != nil {
		return nil, err
	}
	if err := c.parts(a.Root, b.Root, "1"); err != nil {
		return nil, err
	}
	return c.inserted, c.between()
}

// parseWhole indexes a message without the limits of the relay.
func parseWhole(r io.ReaderAt, size int64) (*Message, error) {
	return Parse(r, size, Limits{HeaderBytes: 64 << 20, Parts: 100_000, Depth: 1000, TextBytes: 64 << 20})
}

type comparison struct {
	a, b     *Message
	inserted []Inserted
}

// traceFields are what mail servers put on top.
var traceFields = []string{"received", "return-path", "delivered-to", "x-original-to", "x-career-relay", "dkim-signature"}

// headers compares the header blocks without trace and stamp lines.
func (c *comparison) headers() error {
	a, err := c.a.withoutStamps(0, "")
	if err != nil {
		return err
	}
	for skip := 0; ; skip++ {
		b, err := c.b.withoutStamps(skip, "")
		if err != nil {
			return err
		}
		if bytes.Equal(a, b) {
			return nil
		}
		if same, err := c.resigned(skip, b); err != nil || same {
			return err
		}
		fields := c.b.Fields()
		if skip >= len(fields) || !slices.Contains(traceFields, strings.ToLower(fields[skip].Name)) {
			b, err := c.b.withoutStamps(c.b.traceLines()-c.a.traceLines(), "")
			if err != nil {
				return err
			}
			return c.difference("header", a, b, 0)
		}
	}
}

// resigned tells whether before has the header b of after, but for the DKIM
// signatures of a domain that has a new one among the skipped lines on top. What
// it finds, it lists.
func (c *comparison) resigned(skip int, b []byte) (bool, error) {
	for _, f := range c.b.Fields()[:skip] {
		domain := ""
		if strings.EqualFold(f.Name, "DKIM-Signature") {
			domain = signatureDomain(f.Value)
		}
		old := c.a.stripSignatures(domain)
		if len(old) == 0 {
			continue
		}
		a, err := c.a.withoutStamps(0, domain)
		if err != nil || !bytes.Equal(a, b) {
			return false, err
		}
		c.inserted = append(c.inserted, Inserted{
			Part: "DKIM-Signature of " + domain, Start: f.Span.Start, End: f.Span.End, Bytes: f.Span.Len(), Replaced: len(old),
		})
		return true, nil
	}
	return false, nil
}

// traceLines counts the trace fields on top.
func (m *Message) traceLines() int {
	for i, f := range m.Fields() {
		if !slices.Contains(traceFields, strings.ToLower(f.Name)) {
			return i
		}
	}
	return len(m.Fields())
}

// withoutStamps is the header block without its first skip fields, without
// X-Career-Relay fields, and without the DKIM signatures of a domain, if one is
// named.
func (m *Message) withoutStamps(skip int, domain string) ([]byte, error) {
	h := m.Root.Header
	block := make([]byte, h.Len())
	if n, err := m.r.ReadAt(block, h.Start); n < len(block) {
		return nil, fmt.Errorf("read header: %w", err)
	}
	var old []int64
	for _, e := range m.stripSignatures(domain) {
		old = append(old, e.Start)
	}
	var out []byte
	at := int64(0)
	for i, f := range m.Fields() {
		if i < skip || strings.EqualFold(f.Name, "X-Career-Relay") || slices.Contains(old, f.Span.Start) {
			out = append(out, block[at:max(f.Span.Start, at)]...)
			at = f.Span.End
		}
	}
	return append(out, block[at:]...), nil
}

// parts compares two trees.
func (c *comparison) parts(a, b *Part, path string) error {
	if a.MediaType != b.MediaType || len(a.Children) != len(b.Children) {
		return &Difference{Where: "structure of part " + path, Offset: a.Header.Start, Before: []byte(a.MediaType), After: []byte(b.MediaType)}
	}
	if a.Multipart() && len(a.Children) > 0 {
		for i := range a.Children {
			if err := c.parts(a.Children[i], b.Children[i], fmt.Sprintf("%s.%d", path, i+1)); err != nil {
				return err
			}
		}
		return nil
	}
	return c.bodies(a, b, path)
}

// bodies compares two leaves.
func (c *comparison) bodies(a, b *Part, path string) error {
	same, err := equalRanges(c.a.r, a.Body, c.b.r, b.Body)
	if err != nil || same {
		return err
	}
	if a.Type() != "text" || a.attachment() {
		return &Difference{Where: "part " + path + " is not a text to edit", Offset: a.Body.Start}
	}
	before, err := c.a.leaf(a)
	if err != nil {
		return err
	}
	after, err := c.b.leaf(b)
	if err != nil {
		return err
	}
	marks := before.placeholders()
	if _, _, ok := oneInsertion(before.raw, after.raw, nil); !ok && a.Encoding != "base64" && len(marks) == 0 {
		return c.difference("part "+path, before.raw, after.raw, a.Body.Start)
	}
	from, to, ok := oneInsertion(before.dec.data, after.dec.data, marks)
	if !ok {
		return c.difference("decoded part "+path, before.dec.data, after.dec.data, a.Body.Start)
	}
	end := b.Body.Start + int64(after.dec.source(to))
	start := b.Body.Start + int64(after.dec.source(from))
	c.inserted = append(c.inserted, Inserted{
		Part: a.MediaType + " (" + path + ")", Start: start, End: end, Bytes: end - start,
		Text: after.charset.decode(after.dec.data[from:to]),
	})
	return nil
}

// mark is a placeholder of ours in the decoded octets; tags inside it are kept.
type mark struct {
	start, end int
	tags       []byte
}

// placeholders finds every placeholder of a part, also one cut by tags.
func (l *leaf) placeholders() []mark {
	var marks []mark
	v := view{leaf: l}
	if l.part.MediaType == "text/html" {
		h := readHTML(l.text.text)
		v.html = &h
	}
	if p, ok := v.placeholder(Block{}); ok {
		tags, _ := l.charset.encode(p.text)
		marks = append(marks, mark{l.octet(p.start), l.octetEnd(p.start, p.end), tags})
	}
	return marks
}

// oneInsertion finds the one stretch of after that before lacks; a placeholder
// may have stood in its place.
func oneInsertion(before, after []byte, marks []mark) (from, to int, ok bool) {
	for _, m := range append([]mark{{}}, marks...) {
		b := slices.Concat(before[:m.start], m.tags, before[m.end:])
		prefix := commonPrefix(b, after)
		if m.end > 0 {
			prefix = min(prefix, m.start)
		}
		suffix := commonPrefix(reversed(b), reversed(after))
		if prefix+suffix >= len(b) && len(after) >= len(b) {
			from = min(prefix, len(b))
			return from, from + len(after) - len(b), true
		}
	}
	return 0, 0, false
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// between compares everything that belongs to no leaf's body: delimiters,
// preambles, epilogues, headers of parts.
func (c *comparison) between() error {
	a, b := c.a.outside(), c.b.outside()
	a[0].Start, b[0].Start = c.a.Root.Header.End, c.b.Root.Header.End
	for i := range a {
		same, err := equalRanges(c.a.r, a[i], c.b.r, b[i])
		if err != nil {
			return err
		}
		if !same {
			return &Difference{Where: "between parts", Offset: a[i].Start}
		}
	}
	return nil
}

// outside lists the stretches between the bodies of the leaves, in order.
func (m *Message) outside() []Span {
	var spans []Span
	at := int64(0)
	m.Root.Walk(func(p *Part) {
		if len(p.Children) == 0 {
			spans = append(spans, Span{at, p.Body.Start})
			at = p.Body.End
		}
	})
	return append(spans, Span{at, m.size})
}

func equalRanges(a io.ReaderAt, x Span, b io.ReaderAt, y Span) (bool, error) {
	if x.Len() != y.Len() {
		return false, nil
	}
	ca, cb := newCompare(a, b, x.Len())
	ca.at, cb.at = x.Start, y.Start
	return ca.same(cb, x.Len()), nil
}

// difference describes the first byte where a and b part.
func (c *comparison) difference(where string, a, b []byte, base int64) error {
	i := commonPrefix(a, b)
	excerpt := func(s []byte) []byte { return s[min(i, len(s)):min(i+24, len(s))] }
	return &Difference{
		Where: where, Offset: base + int64(i), Before: excerpt(a), After: excerpt(b),
		Line: c.lineOf(base) + bytes.Count(a[:i], []byte("\n")),
	}
}

// lineOf is the 1-based line number of an offset in the first message.
func (c *comparison) lineOf(offset int64) int {
	line := 1
	buf := make([]byte, 32<<10)
	for at := int64(0); at < offset; {
		n, err := c.a.r.ReadAt(buf[:min(int64(len(buf)), offset-at)], at)
		line += bytes.Count(buf[:n], []byte("\n"))
		if at += int64(n); err != nil {
			break
		}
	}
	return line
}
