package rewrite

import (
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
func (sp splitter) sentences(text string) []string {
	var out []string
	var run strings.Builder
	flush := func() {
		out = append(out, sp.stops(run.String())...)
		run.Reset()
	}
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || isRuler(trimmed) || strings.HasPrefix(trimmed, ">") {
			flush()
			continue
		}
		if startsItem(trimmed) {
			flush()
		}
		if run.Len() > 0 {
			run.WriteByte('\n')
		}
		run.WriteString(trimmed)
		if sp.endsLine(trimmed) {
			flush()
		}
	}
	flush()
	return out
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
func (sp splitter) stops(par string) []string {
	var out []string
	start := 0
	cut := func(end int) {
		if s := strings.TrimSpace(par[start:end]); s != "" {
			out = append(out, s)
		}
		start = end
	}
	for i := 0; i < len(par); {
		r, size := utf8.DecodeRuneInString(par[i:])
		i += size
		if closing, ok := closingQuote(r); ok {
			if j := strings.Index(par[i:], closing); j >= 0 && j < maxQuotation {
				i += j + len(closing)
			}
			continue
		}
		if sp.isStop(par, r, i-size, i) {
			cut(i)
		}
	}
	cut(len(par))
	return out
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
		case r < 0x250:
			if unicode.IsLetter(r) {
				latin++
			}
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			cjk++
		}
	}
	return cjk > 0 && cjk*3 >= latin
}

// fold is the form in which text and phrases are compared: compatibility forms
// composed (NFKC), format characters dropped, dashes, waves and quotation marks
// made alike, lower case; white space dropped, or made one blank each.
func fold(s string, squash bool) string {
	s = norm.NFKC.String(s)
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			blank = !squash && b.Len() > 0
			continue
		case unicode.Is(unicode.Cf, r):
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(foldRune(r))
	}
	return b.String()
}

func foldRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 0x3041 && r <= 0x30FA:
		return r
	case r == '’', r == '‘', r == 'ʼ', r == '`', r == '´':
		return '\''
	case r == '“', r == '”', r == '„', r == '«', r == '»':
		return '"'
	case r == '〜', r == '〰':
		return '~'
	case unicode.Is(unicode.Pd, r), r == '−', r == '─', r == '━':
		return '-'
	}
	return unicode.ToLower(r)
}

// span is a half-open range of bytes.
type span struct{ start, end int }

// quotations are the ranges between quotation marks in a folded sentence.
func quotations(s string) []span {
	var out []span
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		closing, ok := closingQuote(r)
		if !ok {
			continue
		}
		j := strings.Index(s[i:], closing)
		if j < 0 {
			continue
		}
		out = append(out, span{i, i + j})
		i += j + len(closing)
	}
	return out
}
