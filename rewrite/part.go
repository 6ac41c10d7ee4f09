package rewrite

import "strings"

// Span is a range of bytes of the raw message, End exclusive.
type Span struct{ Start, End int64 }

// Len is the number of bytes in the span.
func (s Span) Len() int64 { return s.End - s.Start }

// Part is one entity of a message (RFC 2045, section 2.4): the message itself,
// a multipart or a leaf.
type Part struct {
	Header Span // header fields, without the empty line that ends them
	Body   Span // without the line end that belongs to the following delimiter
	Depth  int  // 0 for the message itself

	MediaType   string            // lower case; text/plain when there is no Content-Type
	Params      map[string]string // parameters of Content-Type, names in lower case
	Encoding    string            // transfer encoding in lower case; 7bit when absent
	Disposition string            // inline, attachment or ""
	Filename    string            // from Content-Disposition or the name parameter
	Boundary    string            // of a multipart
	Children    []*Part           // of a multipart, in order
	Parent      *Part             // nil for the message itself
	Closed      bool              // the multipart's closing delimiter was seen
	Ambiguous   string            // why readers may disagree on this part: duplicate_fields, no_boundary …; or ""

	fields []Field
}

// Type is the part before the slash of the media type.
func (p *Part) Type() string {
	t, _, _ := strings.Cut(p.MediaType, "/")
	return t
}

// Multipart tells whether the part consists of others.
func (p *Part) Multipart() bool { return p.Type() == "multipart" }

// attachment tells whether the sender meant the part to be a file: by its
// Content-Disposition or by a name.
func (p *Part) attachment() bool {
	return p.Disposition == "attachment" || p.Filename != ""
}

// values returns the raw values of all header fields of that name.
func (p *Part) values(name string) []string { return fieldValues(p.fields, name) }

// Walk calls f for the part and all parts below it, in the order of the message.
func (p *Part) Walk(f func(*Part)) {
	f(p)
	for _, c := range p.Children {
		c.Walk(f)
	}
}
