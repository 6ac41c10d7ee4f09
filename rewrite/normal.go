package rewrite

import (
	"bytes"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// langJapanese is the language that is matched without blanks: its lines are
// wrapped anywhere, also inside a word.
const langJapanese = "ja"

// statement is one sentence of a reading, in the place where it stands.
type statement struct {
	place   Place
	opening bool   // among the first of the text
	raw     string // as read
}

// openingRunes is how far the greeting reaches: name, company, first words.
const openingRunes = 120

// splitter cuts a text into sentences.
type splitter struct {
	lineEnds      []string // longest first does not matter: any will do
	abbreviations map[string]bool
}

// sentences cuts text at full stops, at empty lines and where a line begins or
// ends so that it cannot belong to its neighbour. A line break alone ends
// nothing: mails are wrapped inside sentences.
func (sp splitter) sentences(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		run := paragraph{source: text}
		for at := 0; at <= len(text); {
			end := len(text)
			if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
				end = at + i
			}
			line := strings.TrimSpace(text[at:end])
			start := at + len(text[at:end]) - len(strings.TrimLeftFunc(text[at:end], unicode.IsSpace))
			at = end + 1
			if line == "" || isRuler(line) || line[0] == '>' {
				if !sp.flush(&run, yield) {
					return
				}
				continue
			}
			if startsItem(line) && !sp.flush(&run, yield) {
				return
			}
			run.add(start, start+len(line))
			if sp.endsLine(line) && !sp.flush(&run, yield) {
				return
			}
		}
		sp.flush(&run, yield)
	}
}

// flush gives the sentences of a paragraph away and empties it.
func (sp splitter) flush(run *paragraph, yield func(string) bool) bool {
	text := run.text()
	*run = paragraph{source: run.source}
	return text == "" || sp.stops(text, yield)
}

// paragraph is some lines joined by line feeds. Lines that stand so in the
// source are not copied.
type paragraph struct {
	source     string
	start, end int             // the lines in the source …
	joined     strings.Builder // … or their copy, if this is not empty
}

// add takes a line that is not empty.
func (p *paragraph) add(start, end int) {
	switch {
	case p.end == 0:
		p.start, p.end = start, end
		return
	case p.joined.Len() == 0 && start == p.end+1:
		p.end = end
		return
	case p.joined.Len() == 0:
		p.joined.WriteString(p.source[p.start:p.end])
	}
	p.joined.WriteByte('\n')
	p.joined.WriteString(p.source[start:end])
}

func (p *paragraph) text() string {
	if p.joined.Len() > 0 {
		return p.joined.String()
	}
	return p.source[p.start:p.end]
}

// isRuler reports a line of signs only, such as ━━━ or =====.
func isRuler(line string) bool {
	n := 0
	for _, r := range line {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return false
		}
		n++
	}
	return n >= 3
}

// startsItem reports a line that begins a list item or a heading.
func startsItem(line string) bool {
	r, _ := utf8.DecodeRuneInString(line)
	return strings.ContainsRune("・●■◆◇□○◎※★☆【▼▶①②③④⑤⑥⑦⑧⑨*•–—", r) || strings.HasPrefix(line, "- ")
}

func (sp splitter) endsLine(line string) bool {
	line = strings.TrimRight(line, " \u3000、,:\uFF1A)\uFF09」")
	for _, end := range sp.lineEnds {
		if strings.HasSuffix(line, end) {
			return true
		}
	}
	return false
}

// maxQuotation is the longest text between quotation marks, in bytes, whose
// full stops do not end the sentence around it.
const maxQuotation = 600

// stops cuts a paragraph at the ends of its sentences.
func (sp splitter) stops(par string, yield func(string) bool) bool {
	start := 0
	cut := func(end int) bool {
		s := strings.TrimSpace(par[start:end])
		start = end
		return s == "" || yield(s)
	}
	for i := 0; i < len(par); {
		if isAlphanumeric(par[i]) || par[i] == ' ' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(par[i:])
		i += size
		if closing, ok := closingQuote(r); ok {
			if j := strings.Index(par[i:], closing); j >= 0 && j < maxQuotation {
				i += j + len(closing)
			}
			continue
		}
		if sp.isStop(par, r, i-size, i) && !cut(i) {
			return false
		}
	}
	return cut(len(par))
}

func closingQuote(r rune) (string, bool) {
	switch r {
	case '「':
		return "」", true
	case '『':
		return "』", true
	case '“':
		return "”", true
	case '"':
		return `"`, true
	}
	return "", false
}

// isStop reports whether r, at par[at:next], ends a sentence.
func (sp splitter) isStop(par string, r rune, at, next int) bool {
	switch r {
	case '。', '\uFF01', '\uFF1F', '\uFF0E', '\uFF61': // full and half-width forms
		return true
	case '!', '?', '.':
	default:
		return false
	}
	after, _ := utf8.DecodeRuneInString(par[next:])
	if next < len(par) && !unicode.IsSpace(after) && after < utf8.RuneSelf {
		return false // inside a number, an address, an ellipsis
	}
	if r != '.' {
		return true
	}
	word := par[strings.LastIndexFunc(par[:at], unicode.IsSpace)+1 : at]
	return !sp.abbreviations[strings.ToLower(word)] && !isInitial(word)
}

// isInitial reports a single capital, as in J. Smith.
func isInitial(word string) bool {
	r, size := utf8.DecodeRuneInString(word)
	return size == len(word) && unicode.IsUpper(r) && r != 'I'
}

// isJapanese reports whether a sentence is to be read as Japanese: names and
// product words in Latin letters are common in one, a Japanese name in an
// English sentence is not rare either.
func isJapanese(s string) bool {
	cjk, latin := 0, 0
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if r |= 0x20; r >= 'a' && r <= 'z' {
				latin++
			}
		case r < 0x250:
			if unicode.IsLetter(r) {
				latin++
			}
		case isPlainKana(r) || isPlainHan(r) || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			cjk++
		}
	}
	return cjk > 0 && cjk*3 >= latin
}

// isPlainKana and isPlainHan are most of Japanese text, and spare it the look
// into Unicode's tables: letters without case or other form, which do not
// combine with each other.
func isPlainKana(r rune) bool { return r >= 0x3041 && r <= 0x3096 || r >= 0x30A1 && r <= 0x30FA }
func isPlainHan(r rune) bool  { return r >= 0x4E00 && r <= 0x9FFF }

// fold is the form in which text and phrases are compared: compatibility forms
// composed (NFKC), format characters dropped, dashes, waves and quotation marks
// made alike, lower case; white space dropped, or made one blank each.
func fold(s string, squash bool) string { return string(appendFold(nil, s, squash)) }

// appendFold appends the folded s.
func appendFold(dst []byte, s string, squash bool) []byte {
	start := len(dst)
	blank := false
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		composed, ok := compose(r)
		if !ok {
			return appendFoldRunes(dst[:start], norm.NFKC.String(s), squash)
		}
		i += size
		if isBlank(composed) {
			blank = !squash && len(dst) > start
			continue
		}
		if blank {
			dst = append(dst, ' ')
			blank = false
		}
		dst = utf8.AppendRune(dst, foldRune(composed))
	}
	return dst
}

// compose is NFKC for characters that have one form, whatever stands beside
// them, as long as that is one of them too; false for all others.
func compose(r rune) (rune, bool) {
	switch {
	case r < utf8.RuneSelf, isPlainKana(r), isPlainHan(r):
		return r, true
	case r >= 0xFF01 && r <= 0xFF5E: // full-width forms of ASCII
		return r - 0xFF01 + '!', true
	case r == 0x3000, r == 0xA0:
		return ' ', true
	case r >= 0x3001 && r <= 0x3003, r >= 0x3005 && r <= 0x301C, r == 'ー', r == '・':
		return r, true // 、。〃 々〆〇 and brackets
	case r == '–', r == '—', r == '―', r == '‘', r == '’', r == '“', r == '”', r == '•', r == '※':
		return r, true
	case r >= 0x2500 && r <= 0x2606: // lines and figures
		return r, true
	}
	return r, false
}

// isBlank is unicode.IsSpace for what compose gives.
func isBlank(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

// appendFoldRunes folds text that is composed already.
func appendFoldRunes(dst []byte, s string, squash bool) []byte {
	start := len(dst)
	blank := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			blank = !squash && len(dst) > start
			continue
		case unicode.Is(unicode.Cf, r):
			continue
		}
		if blank {
			dst = append(dst, ' ')
			blank = false
		}
		dst = utf8.AppendRune(dst, foldRune(r))
	}
	return dst
}

func foldRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 0x3041 && r <= 0x30FA, isPlainHan(r):
		return r
	case r >= 'A' && r <= 'Z':
		return r - 'A' + 'a'
	case r == '’', r == '‘', r == 'ʼ', r == '`', r == '´':
		return '\''
	case r == '“', r == '”', r == '„', r == '«', r == '»':
		return '"'
	case r == '〜', r == '〰':
		return '~'
	case r < utf8.RuneSelf:
		return r
	case unicode.Is(unicode.Pd, r), r == '−', r == '─', r == '━':
		return '-'
	}
	return unicode.ToLower(r)
}

// speller folds variants of spelling: at each place the first of its variants
// that fits, in their order.
type speller struct {
	variants [1 << 7][]variant // by the low bits of the first character
	starts   [1 << 7]uint64    // first characters, by more of their bits: most text is none
}

type variant struct {
	from []byte
	to   string
}

// newSpeller takes pairs of a variant and what it is folded to. An empty
// variant means nothing.
func newSpeller(pairs []string) *speller {
	sp := &speller{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "" {
			continue
		}
		r, _ := utf8.DecodeRuneInString(pairs[i])
		sp.variants[r&0x7f] = append(sp.variants[r&0x7f], variant{[]byte(pairs[i]), pairs[i+1]})
		sp.starts[r>>6&0x7f] |= 1 << (r & 63)
	}
	return sp
}

// appendTo appends s, which is valid UTF-8, with its variants folded.
func (sp *speller) appendTo(dst, s []byte) []byte {
	from := 0
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(s[i:])
		}
		if sp.starts[r>>6&0x7f]&(1<<(r&63)) != 0 {
			if v := sp.at(r, s[i:]); v != nil {
				dst = append(append(dst, s[from:i]...), v.to...)
				i += len(v.from)
				from = i
				continue
			}
		}
		i += size
	}
	return append(dst, s[from:]...)
}

// at is the variant that s starts with, or nil.
func (sp *speller) at(first rune, s []byte) *variant {
	variants := sp.variants[first&0x7f]
	for i := range variants {
		if bytes.HasPrefix(s, variants[i].from) {
			return &variants[i]
		}
	}
	return nil
}

// replace is s with its variants folded.
func (sp *speller) replace(s string) string { return string(sp.appendTo(nil, []byte(s))) }

// span is a half-open range of bytes.
type span struct{ start, end int }
