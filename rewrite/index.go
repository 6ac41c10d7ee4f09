package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Limits bound what one message may cost. A message beyond a limit is not
// edited; its reason names the limit. The zero value of a field means its default.
type Limits struct {
	HeaderBytes int64       // of all header blocks together; 256 KiB
	Parts       int         // 200
	Depth       int         // levels of multiparts; 20
	TextBytes   int64       // decoded, of all text parts read; 1 MiB
	Expired     func() bool // asked now and then: true ends the work (a time budget); nil for never
}

func (l Limits) withDefaults() Limits {
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 256 << 10
	}
	if l.Parts == 0 {
		l.Parts = 200
	}
	if l.Depth == 0 {
		l.Depth = 20
	}
	if l.TextBytes == 0 {
		l.TextBytes = 1 << 20
	}
	if l.Expired == nil {
		l.Expired = func() bool { return false }
	}
	return l
}

// Message is the index of one raw message: its parts and where they lie. It
// holds header fields and decoded text, never attachments.
type Message struct {
	Root *Part
	// Reason says why the message can't be edited whatever it says, as a closed
	// id: limit_headers, limit_parts, limit_depth, limit_time; or "".
	Reason string

	r       io.ReaderAt
	size    int64
	limits  Limits
	leaves  map[*Part]*leaf // decoded text, filled on demand
	divided map[*Part]*view // the same in lines
}

// Parse reads the raw message once and builds its index. Structure that breaks
// the rules is no error (a part ends where its reader would end it); err is a
// read error of r. The message keeps r.
func Parse(r io.ReaderAt, size int64, limits Limits) (*Message, error) {
	m := &Message{r: r, size: size, limits: limits.withDefaults(), leaves: map[*Part]*leaf{}, divided: map[*Part]*view{}}
	s := &indexer{m: m, in: newWindow(r, size), levels: map[string][]*Part{}}
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("index message: %w", err)
	}
	return m, nil
}

// Size is the number of bytes of the raw message.
func (m *Message) Size() int64 { return m.size }

// Fields returns the header fields of the message itself, top to bottom.
func (m *Message) Fields() []Field { return m.Root.fields }

// Values returns the raw values of all header fields of that name.
func (m *Message) Values(name string) []string { return m.Root.values(name) }

// MessageID is the value of the Message-ID field, or "".
func (m *Message) MessageID() string { return first(m.Values("Message-ID")) }

// indexer is the state of the one pass: which multiparts are open.
type indexer struct {
	m      *Message
	in     *window
	open   []*Part            // multiparts whose delimiters count, outermost first
	levels map[string][]*Part // boundary to open multiparts of that boundary, innermost last
	parts  int
	header int64
}

func (s *indexer) run() error {
	s.m.Root = &Part{}
	next, err := s.entity(s.m.Root, 0)
	for err == nil && next != nil {
		next, err = s.entity(next, s.in.at)
	}
	s.closeBelow(0, s.m.size)
	return err
}

// entity reads one part: its header, then its body up to the next delimiter.
// It returns the part that starts behind that delimiter, or nil at the end.
func (s *indexer) entity(p *Part, at int64) (*Part, error) {
	delimiter, err := s.readHeader(p, at)
	if err != nil || s.m.Reason != "" {
		return nil, err
	}
	if delimiter == nil {
		p.Body = Span{s.in.at, s.m.size}
		s.enter(p)
		if s.m.Reason != "" {
			return nil, nil
		}
		if delimiter, err = s.nextDelimiter(); err != nil {
			return nil, err
		}
	}
	return s.follow(p, delimiter)
}

// delimiter is a boundary line of an open multipart.
type delimiter struct {
	of      *Part
	start   int64 // of the line; the line end before it belongs to it
	closing bool
}

// readHeader reads the header block. A delimiter inside it ends the part at once
// and is returned.
func (s *indexer) readHeader(p *Part, at int64) (*delimiter, error) {
	p.Header = Span{at, at}
	var block []byte
	for {
		line, start, err := s.in.line(s.m.limits.HeaderBytes - s.header + 2)
		if err != nil {
			return nil, err
		}
		if s.header += int64(len(line)); s.header > s.m.limits.HeaderBytes {
			s.m.Reason = "limit_headers"
			return nil, nil
		}
		if d := s.match(line, start); d != nil {
			p.Header.End, p.Body = start, Span{start, start}
			p.fields = scanFields(block, at)
			p.describe()
			return d, nil
		}
		if len(line) == 0 || len(bytes.TrimRight(line, "\r\n")) == 0 {
			p.Header.End = start
			p.fields = scanFields(block, at)
			p.describe()
			return nil, nil
		}
		block = append(block, line...)
	}
}

// enter counts the part and, if it is a multipart, opens it.
func (s *indexer) enter(p *Part) {
	if s.parts++; s.parts > s.m.limits.Parts {
		s.m.Reason = "limit_parts"
		return
	}
	if s.parts%64 == 0 && s.m.limits.Expired() {
		s.m.Reason = "limit_time"
		return
	}
	if !p.Multipart() {
		return
	}
	// RFC 2046, section 5.1.1: a boundary does not end in white space.
	p.Boundary = strings.TrimRight(p.Params["boundary"], " \t")
	if p.Boundary == "" {
		p.Ambiguous = "no_boundary"
		return
	}
	if p.Depth >= s.m.limits.Depth {
		s.m.Reason = "limit_depth"
		return
	}
	s.open = append(s.open, p)
	s.levels[p.Boundary] = append(s.levels[p.Boundary], p)
}

// nextDelimiter skips body lines up to one that is a delimiter of an open
// multipart; nil at the end of the message.
func (s *indexer) nextDelimiter() (*delimiter, error) {
	if len(s.open) == 0 {
		s.in.skipAll()
		return nil, nil
	}
	for {
		line, start, err := s.in.dashLine()
		if err != nil || line == nil {
			return nil, err
		}
		if d := s.match(line, start); d != nil {
			return d, nil
		}
	}
}

// match compares a line with the boundaries of all open multiparts, by map:
// the cost does not grow with the depth. Trailing blanks are transport padding.
func (s *indexer) match(line []byte, start int64) *delimiter {
	if len(s.open) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return nil
	}
	name := bytes.TrimRight(line[2:], " \t\r\n")
	if ps := s.levels[string(name)]; len(ps) > 0 {
		return &delimiter{of: ps[len(ps)-1], start: start}
	}
	if name, ok := bytes.CutSuffix(name, []byte("--")); ok {
		if ps := s.levels[string(name)]; len(ps) > 0 {
			return &delimiter{of: ps[len(ps)-1], start: start, closing: true}
		}
	}
	return nil
}

// follow ends p and all that is open inside the delimiter's multipart, and
// starts what comes next.
func (s *indexer) follow(p *Part, d *delimiter) (*Part, error) {
	if d == nil {
		return nil, nil
	}
	end := s.in.lineEndBefore(d.start)
	for d.closing {
		s.endLeaf(p, end)
		s.closeBelow(s.level(d.of), end)
		d.of.Closed = true
		s.pop()
		p = d.of // the epilogue belongs to the multipart
		var err error
		if d, err = s.nextDelimiter(); err != nil || d == nil {
			return nil, err
		}
		end = s.in.lineEndBefore(d.start)
	}
	s.endLeaf(p, end)
	s.closeBelow(s.level(d.of), end)
	next := &Part{Parent: d.of, Depth: d.of.Depth + 1}
	d.of.Children = append(d.of.Children, next)
	return next, nil
}

// endLeaf ends a part that holds no open delimiters; open multiparts go on.
func (s *indexer) endLeaf(p *Part, at int64) {
	if s.level(p) == 0 {
		p.end(at)
	}
}

// end ends the body; a body never ends before it starts, nor before its last
// part does (an empty part whose only line end belongs to the delimiter).
func (p *Part) end(at int64) {
	p.Body.End = max(at, p.Body.Start)
	if n := len(p.Children); n > 0 {
		p.Body.End = max(p.Body.End, p.Children[n-1].Body.End)
	}
}

func (s *indexer) level(p *Part) int {
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i] == p {
			return i + 1
		}
	}
	return 0
}

// closeBelow ends all open multiparts deeper than level.
func (s *indexer) closeBelow(level int, end int64) {
	for len(s.open) > level {
		s.open[len(s.open)-1].end(end)
		s.pop()
	}
}

func (s *indexer) pop() {
	p := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	stack := s.levels[p.Boundary]
	s.levels[p.Boundary] = stack[:len(stack)-1]
}
