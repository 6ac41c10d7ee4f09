package rewrite

import (
	"strings"
)

// Reading is a message as its reader sees it first: what Decide works on.
type Reading struct {
	Header   map[string][]string // canonical field names, decoded values
	Subject  string
	From, To string // decoded, as displayed
	// Text is the newest human-readable text: decoded, UTF-8, lines end in LF;
	// quoted history, signature, hidden text and markup are cut off. A paragraph
	// or table cell of HTML ends in LF; a line break inside a sentence of plain
	// text is kept (the normalised view removes it).
	Text      string
	FromHTML  bool   // Text was taken from an HTML part
	Quoted    string // what was cut off as quoted history, for contrary evidence only
	Signature string // what was cut off as signature
	Forwarded bool   // the text consists of, or only introduces, a forwarded message
}

// Reading decodes the newest text of the message. The plain text part is read
// when there is one with words in it; otherwise the HTML part.
func (m *Message) Reading() Reading {
	r := Reading{Header: map[string][]string{}}
	for _, f := range m.Fields() {
		name := canonicalName(f.Name)
		r.Header[name] = append(r.Header[name], decodeHeader(f.Value))
	}
	r.Subject, r.From, r.To = first(r.Header["Subject"]), first(r.Header["From"]), first(r.Header["To"])
	for _, p := range m.readable() {
		v, err := m.view(p)
		if err != nil {
			continue
		}
		r.add(v)
		if strings.TrimSpace(r.Text) != "" {
			break
		}
	}
	return r
}

// canonicalName writes a field name the way the standards do: Message-Id.
func canonicalName(name string) string {
	b := []byte(strings.ToLower(name))
	up := true
	for i, c := range b {
		if up && c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		up = c == '-'
	}
	return string(b)
}

// view is the text of one part in lines, divided into newest text and the rest.
type view struct {
	leaf   *leaf
	html   *htmlView // nil for plain text
	lines  []line
	layout layout
}

// view decodes a text part and divides it, once.
func (m *Message) view(p *Part) (*view, error) {
	if v, ok := m.divided[p]; ok {
		return v, nil
	}
	l, err := m.leaf(p)
	if err != nil {
		return nil, err
	}
	v := &view{leaf: l}
	if p.MediaType == "text/html" {
		h := readHTML(l.text.text)
		v.html, v.lines = &h, h.lines
	} else {
		v.lines = plainLines(l.text.text)
	}
	v.layout = findLayout(v.lines)
	m.divided[p] = v
	return v, nil
}

// plainLines splits text at its line ends; end is behind the line end.
func plainLines(text string) []line {
	lines := make([]line, 0, strings.Count(text, "\n")+1)
	for at := 0; at < len(text); {
		end := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		lines = append(lines, line{text: strings.TrimRight(text[at:end], "\r\n"), end: end})
		at = end
	}
	return lines
}

// last is the index of the last line of newest text, or -1.
func (v *view) last() int { return v.layout.last(v.lines) }

func (r *Reading) add(v *view) {
	const newest, signature, quoted = 0, 1, 2
	place := func(i int) int {
		switch {
		case i >= v.layout.history || v.layout.quoted[i]:
			return quoted
		case i >= v.layout.signature:
			return signature
		}
		return newest
	}
	var sizes [3]int
	for i, ln := range v.lines {
		sizes[place(i)] += len(ln.text) + 1
	}
	var texts [3]strings.Builder
	for i := range texts {
		texts[i].Grow(sizes[i])
	}
	for i, ln := range v.lines {
		to := &texts[place(i)]
		to.WriteString(ln.text)
		to.WriteByte('\n')
	}
	r.Text, r.Signature, r.Quoted = texts[newest].String(), texts[signature].String(), texts[quoted].String()
	r.FromHTML, r.Forwarded = v.html != nil, v.layout.forwarded
}
