package rewrite

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// masked stands in normalised text for what somebody else said: words between
// quotation marks.
const masked = '\uFFFC'

// normalise gives the form in which mails and phrases are compared: NFKC, lower
// case, no format characters, one kind of dash, wave and quotation mark, no
// commas and marks of emphasis. White space next to a Japanese character goes,
// other white space becomes one blank: Japanese lines are broken inside words,
// English ones between them.
func normalise(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	var last rune
	blank := false
	for _, r := range norm.NFKC.String(s) {
		if unicode.IsSpace(r) {
			blank = true
			continue
		}
		r = fold(r)
		if r < 0 || (r == masked && last == masked) {
			continue
		}
		if blank && last != 0 && !isJapanese(last) && !isJapanese(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		last, blank = r, false
	}
	return b.String()
}

// fold maps a character to its representative, -1 if it is dropped.
func fold(r rune) rune {
	switch r {
	case '、', ',', '*', '_', '`':
		return -1
	case '‐', '‑', '‒', '–', '—', '―', '−', '─', '━':
		return '-'
	case '〜', '～', '∼':
		return '~'
	case '’', '‘', 'ʼ', '´':
		return '\''
	case '“', '”', '„', '«', '»':
		return '"'
	}
	if unicode.In(r, unicode.Cf, unicode.Cc) || unicode.In(r, unicode.Mn) && !isJapanese(r) {
		return -1
	}
	return unicode.ToLower(r)
}

// japanese tells characters that are written without blanks between words.
func isJapanese(r rune) bool {
	return r >= 0x2E80 && (r <= 0xA4CF || r >= 0xF900 && r <= 0xFAFF || r >= 0xFE30 && r <= 0xFE4F ||
		r >= 0xFF00 && r <= 0xFFEF || r >= 0x20000 && r <= 0x3FFFF)
}

// speller replaces spellings by the one that phrases use, longest first, each
// stretch once. It is built once and used concurrently.
type speller struct {
	byFirst map[rune][]spelling
}

type spelling struct {
	from, to string
	word     bool // from starts and ends as a word of Latin letters does
}

func newSpeller(table map[string]string) *speller {
	s := &speller{byFirst: map[rune][]spelling{}}
	for from, to := range table {
		from, to = normalise(from), normalise(to)
		if from == "" {
			continue
		}
		first, _ := utf8.DecodeRuneInString(from)
		s.byFirst[first] = append(s.byFirst[first], spelling{from, to, latin(first)})
	}
	for _, list := range s.byFirst {
		slices.SortFunc(list, func(a, b spelling) int {
			return cmp.Or(cmp.Compare(len(b.from), len(a.from)), cmp.Compare(a.from, b.from))
		})
	}
	return s
}

func latin(r rune) bool { return unicode.In(r, unicode.Latin) || unicode.IsDigit(r) }

// apply works on normalised text.
func (s *speller) apply(text string) string {
	var b strings.Builder
	var last rune
	start := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if sp, ok := s.at(text[i:], r, last); ok {
			b.WriteString(text[start:i])
			b.WriteString(sp.to)
			i += len(sp.from)
			start = i
			last, _ = utf8.DecodeLastRuneInString(sp.from)
			continue
		}
		last = r
		i += size
	}
	if start == 0 {
		return text
	}
	b.WriteString(text[start:])
	return b.String()
}

// at finds the longest spelling at the start of text.
func (s *speller) at(text string, first, last rune) (spelling, bool) {
	for _, sp := range s.byFirst[first] {
		if !strings.HasPrefix(text, sp.from) {
			continue
		}
		after, _ := utf8.DecodeRuneInString(text[len(sp.from):])
		if !sp.word || !latin(last) && !latin(after) {
			return sp, true
		}
	}
	return spelling{}, false
}
