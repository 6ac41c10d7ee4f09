package rewrite

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// line is one line of text as a person reads it, and where it ends in the source.
type line struct {
	text   string
	end    int  // offset in the decoded text just behind the line's last visible character
	quoted bool // by markup: blockquote, gmail_quote
}

// htmlPoint is a place between two tokens where a block element may stand.
type htmlPoint struct {
	offset int
	words  int  // visible text tokens before it
	quotes int  // quotations opened before it
	inside bool // of a paragraph or inline element, which the block ends or stretches: second choice
}

// htmlView is the visible text of an HTML part.
type htmlView struct {
	lines  []line
	points []htmlPoint
	words  []int   // words[i]: visible text tokens up to the end of lines[i]
	quotes []int   // the same for quotations
	text   []byte  // the visible text without white space …
	pieces []piece // … and where its pieces stand in the source
}

// piece is a stretch of visible text that stands together in the source.
type piece struct {
	text, source int32 // where it begins
	reference    bool  // it is one character reference: all of it stands for each byte
}

// at is where a byte of the visible text stands in the source.
func (h *htmlView) at(i int) int {
	n, found := slices.BinarySearchFunc(h.pieces, i, func(p piece, i int) int { return int(p.text) - i })
	if !found {
		n--
	}
	p := h.pieces[n]
	if p.reference {
		return int(p.source)
	}
	return int(p.source) + i - int(p.text)
}

// element is one open element and what it does to the text inside.
type element struct {
	name   string
	traits trait
	hidden bool // display:none and its kin
	tiny   bool // font-size:0, until a child sets another
	quoted bool
	pre    bool
}

// trait is what an element means for the text.
type trait uint8

const (
	endsLine     trait = 1 << iota // the element stands in lines of its own
	void                           // it never has content
	holdsFlow                      // a block may stand in it …
	holdsPhrases                   // … or, second choice: its end tag is optional in practice
	neverVisible
	rawText // markup in it is text; a slash at the end of its start tag does not close it
)

var traits = traitsOf(map[trait]string{
	endsLine:     "address article aside blockquote body center dd details div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section table tbody td tfoot th thead tr ul",
	void:         "area base br col embed hr img input link meta param source track wbr",
	holdsFlow:    "article aside body center div footer form header main section td th html",
	holdsPhrases: "p span font b i em strong u small big",
	rawText:      "script style title textarea iframe noembed noframes xmp",
	neverVisible: "head title script style template noscript textarea select option object svg math iframe",
})

func traitsOf(names map[trait]string) map[string]trait {
	m := map[string]trait{}
	for t, list := range names {
		for name := range strings.FieldsSeq(list) {
			m[name] |= t
		}
	}
	return m
}

// htmlReader is one pass of the tokenizer over the source.
type htmlReader struct {
	view   htmlView
	stack  []element
	line   []byte
	end    int // of the line's last visible character
	words  int
	quotes int
}

// readHTML finds the visible lines of HTML source and the places where a block
// may stand. The tokenizer never fails: HTML has no wrong input.
func readHTML(source string) htmlView {
	r := &htmlReader{}
	r.view.text = make([]byte, 0, len(source)/2)
	tags := strings.Count(source, "<")
	r.view.points = make([]htmlPoint, 0, 2*tags+1)
	r.view.lines, r.view.words, r.view.quotes = make([]line, 0, tags/2), make([]int, 0, tags/2), make([]int, 0, tags/2)
	z := html.NewTokenizer(strings.NewReader(source))
	for at, open := 0, false; ; {
		kind := z.Next()
		raw := len(z.Raw())
		if kind == html.ErrorToken {
			r.breakLine(false)
			r.endAll()
			if !open {
				r.point(at)
			}
			return r.view
		}
		open = unclosed(kind, source[at:at+raw])
		r.token(z, kind, source[at:at+raw], at)
		at += raw
		if kind != html.CommentToken && kind != html.DoctypeToken && !open {
			r.point(at)
		}
	}
}

// unclosed tells whether the token is a comment or a declaration that the source
// ends in, or a text that ends in the beginning of one: what is put behind it
// would be part of it.
func unclosed(kind html.TokenType, raw string) bool {
	switch {
	case kind == html.TextToken:
		return strings.HasSuffix(raw, "</") || strings.HasSuffix(raw, "<!") || strings.HasSuffix(raw, "<?")
	case kind != html.CommentToken && kind != html.DoctypeToken:
		return false
	case strings.HasPrefix(raw, "<!--"):
		return !strings.HasSuffix(raw, "-->") && !strings.HasSuffix(raw, "--!>")
	}
	return !strings.HasSuffix(raw, ">")
}

func (r *htmlReader) token(z *html.Tokenizer, kind html.TokenType, raw string, at int) {
	switch kind {
	case html.TextToken:
		r.text(raw, at)
	case html.StartTagToken, html.SelfClosingTagToken:
		t := z.Token()
		r.start(t)
	case html.EndTagToken:
		name, _ := z.TagName()
		r.close(string(name))
	}
}

// top is the innermost open element.
func (r *htmlReader) top() element {
	if len(r.stack) == 0 {
		return element{}
	}
	return r.stack[len(r.stack)-1]
}

// point notes the place at offset if a block may stand there.
func (r *htmlReader) point(offset int) {
	e := r.top()
	if e.hidden || e.tiny || e.quoted || e.pre || e.name != "" && e.traits&(holdsFlow|holdsPhrases) == 0 {
		return
	}
	r.view.points = append(r.view.points, htmlPoint{offset, r.words, r.quotes, e.traits&holdsPhrases != 0})
}

// endAll closes what the end of the source closes: paragraphs and inline
// elements whose end tags are missing. Tables stay open, and what hides its
// content: nothing is put there.
func (r *htmlReader) endAll() {
	for len(r.stack) > 0 && r.top().traits&holdsPhrases != 0 && !r.top().hidden && !r.top().tiny {
		r.stack = r.stack[:len(r.stack)-1]
	}
}

// text adds visible text. White space collapses, but for preformatted text.
func (r *htmlReader) text(raw string, at int) {
	e := r.top()
	if e.hidden || e.tiny {
		return
	}
	if strings.ContainsFunc(raw, isVisible) {
		r.words++
	}
	for i := 0; i < len(raw); {
		if n := plainRun(raw[i:]); n > 0 {
			r.run(raw[i:i+n], at+i)
			i += n
			continue
		}
		n := charLen(raw[i:])
		r.char(html.UnescapeString(raw[i:i+n]), at+i, at+i+n, e)
		i += n
	}
}

func isVisible(r rune) bool { return !unicode.IsSpace(r) }

// plainRun is the length of the text at the start of s that stands for itself.
func plainRun(s string) int {
	if n := strings.IndexAny(s, "& \t\r\n"); n >= 0 {
		return n
	}
	return len(s)
}

// run adds text that stands for itself.
func (r *htmlReader) run(s string, at int) {
	r.line = append(r.line, s...)
	r.end = at + len(s)
	r.see(s, at, false)
}

// see adds visible text that stands at a place of the source.
func (r *htmlReader) see(s string, at int, reference bool) {
	r.view.pieces = append(r.view.pieces, piece{int32(len(r.view.text)), int32(at), reference})
	r.view.text = append(r.view.text, s...)
}

// charLen is the length of the blank or the character reference at the start of s.
func charLen(s string) int {
	if s[0] == '&' {
		return entityLen(s)
	}
	return 1
}

// entityLen is the length of the character reference at the start of s; the
// semicolon may be missing. A bare ampersand has length 1.
func entityLen(s string) int {
	n := 1
	for n < len(s) && n < 40 && (s[n] == '#' && n == 1 || isAlphanumeric(s[n])) {
		n++
	}
	switch {
	case n < len(s) && s[n] == ';':
		return n + 1
	case s[1:n] != "" && html.UnescapeString(s[:n]) != s[:n]:
		return n
	}
	return 1
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func (r *htmlReader) char(c string, start, end int, e element) {
	switch {
	case c == "\n" && e.pre:
		r.breakLine(true)
		return
	case c == "\r" || c == "\n" || c == "\t" || c == " ":
		if n := len(r.line); !e.pre && (n == 0 || r.line[n-1] == ' ') {
			return
		}
		r.line = append(r.line, ' ')
		return
	}
	r.line = append(r.line, c...)
	r.end = end
	r.see(c, start, true)
}

// breakLine ends the line; an empty one counts only when asked for.
func (r *htmlReader) breakLine(empty bool) {
	text := string(bytes.TrimRight(r.line, " "))
	r.line = r.line[:0]
	if text == "" && !empty {
		return
	}
	if text == "" && (len(r.view.lines) == 0 || r.view.lines[len(r.view.lines)-1].text == "") {
		return
	}
	r.view.lines = append(r.view.lines, line{text, r.end, r.top().quoted})
	r.view.words = append(r.view.words, r.words)
	r.view.quotes = append(r.view.quotes, r.quotes)
}

func (r *htmlReader) start(t html.Token) {
	name := t.Data
	if name == "br" {
		r.breakLine(true)
		return
	}
	traits := traits[name]
	if traits&endsLine != 0 {
		r.breakLine(false)
		r.impliedEnd(name)
	}
	if traits&void != 0 || t.Type == html.SelfClosingTagToken && traits&rawText == 0 {
		return
	}
	e := r.top()
	e.name, e.traits = name, traits
	e.style(t)
	if e.quoted && !r.top().quoted {
		r.quotes++
	}
	r.stack = append(r.stack, e)
}

// impliedEnd closes what a start tag closes without an end tag: a paragraph, a
// list item, a cell, a row.
func (r *htmlReader) impliedEnd(name string) {
	for len(r.stack) > 0 && implies(name, r.stack[len(r.stack)-1].name) {
		r.stack = r.stack[:len(r.stack)-1]
	}
}

// implies tells whether the start of an element ends the open one.
func implies(start, open string) bool {
	switch start {
	case "li":
		return open == "li"
	case "td", "th":
		return open == "td" || open == "th" || open == "p"
	case "tr":
		return open == "td" || open == "th" || open == "p" || open == "tr"
	}
	return open == "p"
}

// close pops the innermost element of that name with all inside it; an end tag
// without a start is ignored. A table keeps end tags of the outside out.
func (r *htmlReader) close(name string) {
	if traits[name]&endsLine != 0 {
		r.breakLine(name == "p")
	}
	for i := len(r.stack) - 1; i >= 0; i-- {
		if r.stack[i].name == name {
			r.stack = r.stack[:i]
			return
		}
		if r.stack[i].name == "table" && name != "body" && name != "html" {
			return
		}
	}
}

var (
	noOpacity = regexp.MustCompile(`opacity:0(\.0+)?(;|$)`)
	noHeight  = regexp.MustCompile(`(^|;)height:0(px)?(;|$)`)
	zeroSize  = regexp.MustCompile(`^0(\.0+)?(px|pt|em|rem|%)?(!important)?$`)
)

// hides tells whether a style, without blanks and in lower case, makes its
// element invisible.
func hides(style string) bool {
	for _, s := range []string{"display:none", "visibility:hidden", "mso-hide:all", "max-height:0"} {
		if strings.Contains(style, s) {
			return true
		}
	}
	return strings.Contains(style, "opacity:0") && noOpacity.MatchString(style) ||
		strings.Contains(style, "height:0") && noHeight.MatchString(style)
}

// fontSize is the value of the first font-size in a style.
func fontSize(style string) (string, bool) {
	for declaration := range strings.SplitSeq(style, ";") {
		if size, ok := strings.CutPrefix(declaration, "font-size:"); ok {
			return size, true
		}
	}
	return "", false
}

// style reads what the element's attributes say about the text inside.
func (e *element) style(t html.Token) {
	e.hidden = e.hidden || e.traits&neverVisible != 0
	e.pre = e.pre || t.Data == "pre"
	e.quoted = e.quoted || t.Data == "blockquote"
	for _, a := range t.Attr {
		switch a.Key {
		case "hidden":
			e.hidden = true
		case "style":
			style := strings.ToLower(strings.Join(strings.Fields(a.Val), ""))
			e.hidden = e.hidden || hides(style)
			if size, ok := fontSize(style); ok {
				e.tiny = zeroSize.MatchString(size)
			}
			e.pre = e.pre || strings.Contains(style, "white-space:pre")
		case "class", "id":
			e.quoted = e.quoted || quoteMark(a.Val)
		}
	}
}

// quoteMark tells whether a class or id is what mail programs put around the
// mail that is answered.
func quoteMark(value string) bool {
	for name := range strings.FieldsSeq(value) {
		switch name {
		case "gmail_quote", "gmail_quote_container", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote", "divRplyFwdMsg", "OLK_SRC_BODY_SECTION", "appendonsend", "mail-editor-reference-message-container":
			return true
		}
	}
	return false
}
