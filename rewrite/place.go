package rewrite

import (
	"bytes"
	"strings"
)

// placed is a block at its place: text offsets of what it replaces (none when
// start == end) and the text with the line ends that the place needs.
type placed struct {
	start, end  int
	text, ascii string // lines end in LF; ascii is "" for HTML
}

// The placeholders a company may put into its own templates.
const (
	blockPlaceholder = "{{career_relay}}"
	linkPlaceholder  = "{{career_relay_link}}"
)

// place finds the place of the block: a placeholder, else below the newest text
// and above signature and quoted history.
func (v *view) place(b Block) (placed, error) {
	if p, ok := v.placeholder(b); ok {
		return p, nil
	}
	last := v.last()
	if last < 0 {
		return placed{}, unedited("empty_text")
	}
	if v.html != nil {
		return v.placeHTML(last, b)
	}
	return v.placePlain(last, b), nil
}

// placePlain puts the block behind the last line of newest text, with an empty
// line on either side.
func (v *view) placePlain(last int, b Block) placed {
	at := v.lines[last].end
	before, after := "\n", ""
	if !strings.HasSuffix(v.leaf.text.text[:at], "\n") {
		before = "\n\n"
	}
	if last+1 < len(v.lines) && strings.TrimSpace(v.lines[last+1].text) != "" {
		after = "\n"
	}
	frame := func(text string) string {
		if text == "" {
			return ""
		}
		return before + strings.TrimRight(text, "\n") + "\n" + after
	}
	return placed{at, at, frame(b.Text), frame(b.ASCII)}
}

// placeHTML takes the first place behind the newest text where a block element
// may stand, never one behind the quoted mail. First choice is a place before any
// further visible text, then one further down (behind the signature), then one
// inside the paragraph that the newest text ends in.
func (v *view) placeHTML(last int, b Block) (placed, error) {
	at, rank := 0, 0
	for _, p := range v.html.points {
		if p.offset < v.lines[last].end {
			continue
		}
		if p.quotes > v.html.quotes[last] && v.quoteBelow(last) {
			break
		}
		if r := p.rank(v.html.words[last]); r > rank {
			at, rank = p.offset, r
		}
	}
	if rank == 0 {
		return placed{}, unedited("html_place")
	}
	return placed{at, at, "\n" + strings.TrimRight(b.HTML, "\n") + "\n", ""}, nil
}

// rank orders the places behind the newest text: 3 is best, 0 unfit.
func (p htmlPoint) rank(words int) int {
	switch {
	case p.words == words && !p.inside:
		return 3
	case !p.inside:
		return 2
	case p.words == words:
		return 1
	}
	return 0
}

// quoteBelow tells whether quoted lines follow the newest text.
func (v *view) quoteBelow(last int) bool {
	return v.layout.history < len(v.lines) || last+1 < len(v.lines) && v.layout.quoted[last+1]
}

// placeholder looks for the company's own mark in the visible text; tags inside
// the mark are kept behind the block.
func (v *view) placeholder(b Block) (placed, bool) {
	source := v.leaf.text.text
	for _, mark := range []string{blockPlaceholder, linkPlaceholder} {
		text, ascii := b.Text, b.ASCII
		if mark == linkPlaceholder {
			text, ascii = b.Link, b.Link
		}
		if v.html == nil {
			if i := strings.Index(source, mark); i >= 0 {
				return placed{i, i + len(mark), strings.TrimRight(text, "\n"), strings.TrimRight(ascii, "\n")}, true
			}
			continue
		}
		if mark == blockPlaceholder {
			text = b.HTML
		}
		if start, end, ok := v.html.find(mark); ok {
			return placed{start, end, strings.TrimRight(text, "\n") + tagsIn(source[start:end]), ""}, true
		}
		if i := strings.Index(source, mark); i >= 0 && mark == linkPlaceholder { // in an attribute
			return placed{i, i + len(mark), b.Link, ""}, true
		}
	}
	return placed{}, false
}

// find looks for mark in the visible text and returns its range in the source.
func (h *htmlView) find(mark string) (start, end int, ok bool) {
	i := bytes.Index(h.text, []byte(mark))
	if i < 0 {
		return 0, 0, false
	}
	return h.at(i), h.at(i+len(mark)-1) + 1, true
}

// tagsIn returns the tags of a piece of HTML without the text between them.
func tagsIn(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return b.String()
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			return b.String()
		}
		b.WriteString(s[i : i+j+1])
		s = s[i+j+1:]
	}
}
