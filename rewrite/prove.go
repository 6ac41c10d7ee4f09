package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"github.com/jhillyerd/enmime/v2"
)

// ErrProof is what every failed proof wraps: the original must go instead.
var ErrProof = errors.New("edit is not proven")

func proofError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProof, fmt.Sprintf(format, args...))
}

// Prove checks the edited message before it is sent, in three ways that share no
// code with the making of the edits:
//
//   - the edits taken out of the result give the input, bit for bit;
//   - our index of the result is that of the input, moved by the edits;
//   - enmime, an independent parser, sees the same tree, the same other parts, and
//     in each edited part the old text with the block in one place.
//
// An *Unedited is no failure of the edit: the independent parser cannot read the
// message as it came, so that no edit of it can be proven. Any other error wraps
// ErrProof and tells how the message is built, and nothing of what it says.
func (e *Edited) Prove() error {
	err := e.prove()
	if errors.Is(err, ErrProof) {
		return fmt.Errorf("%w; structure: %s", err, e.m.structure())
	}
	return err
}

func (e *Edited) prove() error {
	edits := e.Edits()
	after := newSpliced(e.m.r, e.m.size, edits)
	if err := proveBytes(e.m.r, e.m.size, after, edits); err != nil {
		return err
	}
	result, err := Parse(after, after.length, e.m.limits)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if err := proveTree(e.m.Root, result.Root, edits); err != nil {
		return err
	}
	for _, c := range e.changes {
		if err := c.prove(); err != nil {
			return err
		}
	}
	return e.proveIndependently(result)
}

// proveBytes walks over the result, takes each edit out and compares the rest
// with the input.
func proveBytes(before io.ReaderAt, size int64, after *spliced, edits []Edit) error {
	a, b := newCompare(before, after, size)
	at := int64(0)
	for _, e := range edits {
		if !a.same(b, e.Start-at) {
			return proofError("bytes differ before offset %d", e.Start)
		}
		if got := b.take(int64(len(e.New))); !bytes.Equal(got, e.New) {
			return proofError("the edit at offset %d is not what stands there", e.Start)
		}
		a.take(e.End - e.Start)
		at = e.End
	}
	if !a.same(b, size-at) || b.at != after.length {
		return proofError("bytes differ behind the last edit")
	}
	return nil
}

// cursor reads a message forward.
type cursor struct {
	r   io.ReaderAt
	at  int64
	buf []byte
}

// newCompare makes cursors over two messages of about size octets.
func newCompare(before, after io.ReaderAt, size int64) (a, b *cursor) {
	size = min(size, 32<<10)
	return &cursor{r: before, buf: make([]byte, size)}, &cursor{r: after, buf: make([]byte, size)}
}

func (c *cursor) take(n int64) []byte {
	p := make([]byte, n)
	got, _ := c.r.ReadAt(p, c.at)
	c.at += n
	return p[:got]
}

func (c *cursor) same(d *cursor, n int64) bool {
	for n > 0 {
		step := min(n, int64(len(c.buf)))
		got, _ := c.r.ReadAt(c.buf[:step], c.at)
		got2, _ := d.r.ReadAt(d.buf[:step], d.at)
		if int64(got) != step || got != got2 || !bytes.Equal(c.buf[:got], d.buf[:got2]) {
			return false
		}
		c.at, d.at, n = c.at+step, d.at+step, n-step
	}
	return true
}

// proveTree compares both indexes: same parts, same types, every offset moved by
// exactly the edits in front of it.
func proveTree(a, b *Part, edits []Edit) error {
	if a.MediaType != b.MediaType || a.Encoding != b.Encoding || a.Closed != b.Closed || len(a.Children) != len(b.Children) {
		return proofError("the part at offset %d has another shape", a.Header.Start)
	}
	moved := func(at int64, inclusive bool) int64 {
		shift := int64(0)
		for _, e := range edits {
			if e.End < at || inclusive && e.End == at {
				shift += int64(len(e.New)) - (e.End - e.Start)
			}
		}
		return at + shift
	}
	if moved(a.Header.Start, true) != b.Header.Start || moved(a.Body.Start, false) != b.Body.Start || moved(a.Body.End, true) != b.Body.End {
		return proofError("the part at offset %d has moved", a.Header.Start)
	}
	for i := range a.Children {
		if err := proveTree(a.Children[i], b.Children[i], edits); err != nil {
			return err
		}
	}
	return nil
}

// prove reads the part before and after with enmime.
func (c change) prove() error {
	before, err := readLeaf(c.leaf.part, c.leaf.raw)
	if err != nil {
		return unedited("second_reader")
	}
	in := c.edit
	base := c.leaf.part.Body.Start
	raw := slices.Concat(c.leaf.raw[:in.Start-base], in.New, c.leaf.raw[in.End-base:])
	after, err := readLeaf(c.leaf.part, raw)
	if err != nil {
		return err
	}
	inserted := []byte(c.leaf.charset.decode(c.data))
	removed := []byte(c.leaf.charset.decode(c.leaf.dec.data[c.start:c.end]))
	for i := 0; ; i++ {
		n := bytes.Index(after[i:], inserted)
		switch {
		case n < 0 && string(before) != c.leaf.text.text: // it read another text than we did from the start
			return unedited("second_reader")
		case n < 0:
			return proofError("the text is not the old text with the block")
		}
		if i += n; consists(before, after[:i], removed, after[i+len(inserted):]) {
			return nil
		}
	}
}

// consists tells whether s is the pieces one after the other.
func consists(s []byte, pieces ...[]byte) bool {
	for _, piece := range pieces {
		rest, ok := bytes.CutPrefix(s, piece)
		if !ok {
			return false
		}
		s = rest
	}
	return len(s) == 0
}

// enmimeParser reads leaves the way a mail program would: labels are believed,
// nothing is guessed, nothing is converted.
func enmimeParser() *enmime.Parser {
	return enmime.NewParser(
		enmime.DisableCharacterDetection(true),
		enmime.DisableTextConversion(true),
		enmime.SkipMalformedParts(true),
		enmime.MultipartWOBoundaryAsSinglePart(true),
		enmime.MaxStoredPartErrors(8),
		enmime.StripMediaTypeInvalidCharacters(true),
		enmime.SetReadPartErrorPolicy(enmime.AllowCorruptTextPartErrorPolicy),
	)
}

// readLeaf decodes one text part with enmime.
func readLeaf(p *Part, raw []byte) ([]byte, error) {
	charset := "us-ascii"
	if cs := lookupCharset(p.Params["charset"]); cs != nil {
		charset = cs.name // enmime lacks the aliases
	}
	head := fmt.Sprintf("Content-Type: %s; charset=%q\r\nContent-Transfer-Encoding: %s\r\n\r\n", p.MediaType, charset, p.Encoding)
	part, err := enmimeParser().ReadParts(io.MultiReader(strings.NewReader(head), bytes.NewReader(raw)))
	if err != nil {
		return nil, proofError("independent parser fails on the edited part") // its error may quote the text
	}
	return part.Content, nil
}

// proveIndependently lets enmime read both messages and compares what it sees.
// The middle of long bodies is left out on both sides: proveBytes has compared it.
func (e *Edited) proveIndependently(result *Message) error {
	places, insertions := e.places()
	before, err := e.m.skeleton(places)
	if err != nil {
		return err
	}
	after, err := result.skeleton(insertions)
	if err != nil {
		return err
	}
	a, err := enmimeParser().ReadParts(bytes.NewReader(before))
	if err != nil {
		return unedited("second_reader")
	}
	b, err := enmimeParser().ReadParts(bytes.NewReader(after))
	if err != nil {
		err = proofError("independent parser fails on the result") // its error may quote the text
	} else if err = e.proveHeader(a.Header, b.Header); err == nil {
		err = sameParts(a, b, len(e.changes))
	}
	if err != nil && !e.sameReading(e.m.Root, a) { // it took the message for another one from the start
		return unedited("second_reader")
	}
	return err
}

// sameReading tells whether enmime saw of the message what our index has: the
// same parts, the same header fields in each, the same text to edit. Where it did
// not, its opinion of the result proves nothing, and disproves nothing.
func (e *Edited) sameReading(p *Part, seen *enmime.Part) bool {
	if seen.ContentType != p.MediaType && !(unlabelled(seen) && p.MediaType == "text/plain") || !p.sameNames(seen.Header) {
		return false
	}
	for _, c := range e.changes {
		if c.leaf.part != p {
			continue
		}
		raw, err := e.m.seenOf(c)
		if err != nil {
			return false
		}
		if text, err := readLeaf(p, raw); err != nil || !bytes.Equal(text, seen.Content) {
			return false
		}
	}
	child := seen.FirstChild
	for _, c := range p.Children {
		if child == nil || !e.sameReading(c, child) {
			return false
		}
		child = child.NextSibling
	}
	return child == nil
}

// seenOf is the body of an edited part as the skeleton of the message has it.
func (m *Message) seenOf(c change) ([]byte, error) {
	if c.leaf.part.Body.Len() <= 8*kept {
		return c.leaf.raw, nil
	}
	var out bytes.Buffer
	err := m.shortened(&out, c.leaf.part.Body, Span{c.edit.Start, c.edit.End})
	return out.Bytes(), err
}

// sameNames tells whether the header has the part's fields, by their names.
func (p *Part) sameNames(header textproto.MIMEHeader) bool {
	names := map[string]int{}
	for _, f := range p.fields {
		names[textproto.CanonicalMIMEHeaderKey(f.Name)]++
	}
	return maps.EqualFunc(names, header, func(n int, values []string) bool { return n == len(values) })
}

// places are what the edits replace in the message, and what stands there in the
// result.
func (e *Edited) places() (before, after []Span) {
	shift := int64(0)
	for _, ed := range e.Edits() {
		before = append(before, Span{ed.Start, ed.End})
		start := ed.Start + shift
		after = append(after, Span{start, start + int64(len(ed.New))})
		shift += int64(len(ed.New)) - (ed.End - ed.Start)
	}
	return before, after
}

// sameParts compares two trees of enmime: at most edited leaves differ in content.
func sameParts(a, b *enmime.Part, edited int) error {
	differ := 0
	var walk func(a, b *enmime.Part) error
	walk = func(a, b *enmime.Part) error {
		for ; a != nil && b != nil; a, b = a.NextSibling, b.NextSibling {
			// Not a.Charset: without a label enmime guesses it from the text.
			if a.ContentType != b.ContentType || a.FileName != b.FileName || a.Disposition != b.Disposition || a.Header.Get("Content-Type") != b.Header.Get("Content-Type") {
				return proofError("independent parser sees another part")
			}
			if !bytes.Equal(a.Content, b.Content) {
				if !strings.HasPrefix(a.ContentType, "text/") && !unlabelled(a) {
					return proofError("independent parser sees another attachment")
				}
				differ++
			}
			if err := walk(a.FirstChild, b.FirstChild); err != nil {
				return err
			}
		}
		if (a == nil) != (b == nil) {
			return proofError("independent parser sees another number of parts")
		}
		return nil
	}
	if err := walk(a, b); err != nil {
		return err
	}
	if differ > edited {
		return proofError("independent parser sees %d changed parts, %d were edited", differ, edited)
	}
	return nil
}

// unlabelled tells whether the part has no Content-Type, so that RFC 2045, section
// 5.2, makes it a plain text; enmime leaves its type open inside a multipart.
func unlabelled(p *enmime.Part) bool {
	return p.ContentType == "" && p.Header.Get("Content-Type") == ""
}

// kept is how much of either end of a long body, and of an edit in it, the
// skeleton holds.
const kept = 128

// skeleton is the message without the middle of its long bodies. Of a body that
// an edit lies in (seen: offsets in this message) every line that begins with two
// dashes stays as well, for no other could end a part to any reader.
func (m *Message) skeleton(seen []Span) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, min(m.size, 8<<10)))
	at := int64(0)
	copyTo := func(end int64) error {
		_, err := io.Copy(out, io.NewSectionReader(m.r, at, max(end-at, 0)))
		at = max(at, end)
		return err
	}
	var failed error
	m.Root.Walk(func(p *Part) {
		if p.Multipart() || p.Body.Len() <= 8*kept || failed != nil {
			return
		}
		if failed = copyTo(p.Body.Start); failed != nil {
			return
		}
		i := slices.IndexFunc(seen, func(s Span) bool { return p.Body.Start <= s.Start && s.End <= p.Body.End })
		if i < 0 {
			failed = m.ends(out, p.Body)
		} else {
			failed = m.shortened(out, p.Body, seen[i])
		}
		at = p.Body.End
	})
	if failed != nil {
		return nil, failed
	}
	err := copyTo(m.size)
	return out.Bytes(), err
}

// ends writes the first and the last lines of a body.
func (m *Message) ends(out *bytes.Buffer, body Span) error {
	end := make([]byte, 4*kept)
	if n, err := m.r.ReadAt(end, body.Start); n < len(end) {
		return fmt.Errorf("read part: %w", err)
	}
	out.Write(end[:bytes.LastIndexByte(end, '\n')+1])
	if n, err := m.r.ReadAt(end, body.End-int64(len(end))); n < len(end) {
		return fmt.Errorf("read part: %w", err)
	}
	if i := bytes.IndexByte(end, '\n'); i >= 0 {
		out.Write(end[i+1:])
	}
	return nil
}

// shortened writes the lines of a body that tell where it ends, and those at
// either end of the edit.
func (m *Message) shortened(out *bytes.Buffer, body, edit Span) error {
	raw := make([]byte, body.Len())
	if n, err := m.r.ReadAt(raw, body.Start); n < len(raw) {
		return fmt.Errorf("read part: %w", err)
	}
	from, to := int(edit.Start-body.Start), int(edit.End-body.Start)
	for at := 0; at < len(raw); {
		end := len(raw)
		if i := bytes.IndexByte(raw[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		near := func(place int) bool { return at < place+kept && end > place-kept }
		if near(0) || near(from) || near(to) || near(len(raw)) || bytes.HasPrefix(raw[at:], []byte("--")) {
			out.Write(raw[at:end])
		}
		at = end
	}
	return nil
}
