package rewrite

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A quotation is masked from quotedLeast characters on: a shorter one is a title
// or a word that the writer makes his own. Beyond quotedMost the closing mark is
// taken to belong to something else.
const (
	quotedLeast = 14
	quotedMost  = 400
)

// Up to the first line that is longer than headMost characters, of the first
// headLines, each is apart: they name the addressee and the sender.
const (
	headLines = 8
	headMost  = 24
)

// sentenceMost bounds the characters of one sentence, so that no mail can make
// the search for phrases with gaps slow.
const sentenceMost = 800

// Marks around a normalised sentence, for phrases that are tied to its edges;
// normalisation leaves no such character in a text.
const (
	sentenceStart = "\x02"
	sentenceStop  = "\x03"
)

// sentence is one sentence of a message.
type sentence struct {
	where Where
	index int    // in its part; -1 in header fields
	raw   string // as read, quotations masked
	text  string // normalised and spelt alike
}

// sentences cuts text into sentences. The normalised form is left to the caller.
func sentences(text string) []string {
	var out []string
	for _, p := range paragraphs(text) {
		out = append(out, splitSentences(p)...)
	}
	return out
}

// paragraphs joins lines that were wrapped. A blank line, a list item and a
// salutation stand apart.
func paragraphs(text string) []string {
	var out []string
	var current strings.Builder
	flush := func() {
		if current.Len() > 0 {
			out = append(out, current.String())
		}
		current.Reset()
	}
	head := headLines
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimFunc(line, unicode.IsSpace)
		if line == "" || listItem(line) {
			flush()
		}
		if current.Len() > 0 {
			current.WriteByte('\n')
		}
		current.WriteString(line)
		if head = max(0, head-1); line != "" && !headLine(line) {
			head = 0
		}
		if salutation(line) || head > 0 {
			flush()
		}
	}
	flush()
	return out
}

// headLine tells a line that can name the addressee or the sender.
func headLine(line string) bool {
	return utf8.RuneCountInString(line) <= headMost && !strings.ContainsAny(line, "。、.!！")
}

// listItem tells a line that starts with a mark of lists or headings.
func listItem(line string) bool {
	r := []rune(line)
	switch {
	case strings.ContainsRune("・●○■□◆◇▼▲※•◦☆★【〔＜《①②③④⑤⑥⑦⑧⑨⑩㈱", r[0]):
		return true
	case len(r) > 1 && strings.ContainsRune("-*+–", r[0]) && unicode.IsSpace(r[1]):
		return true
	}
	digits := 0
	for digits < len(r) && unicode.IsDigit(r[digits]) {
		digits++
	}
	return digits > 0 && digits < 3 && digits+1 < len(r) && strings.ContainsRune(".)）．、", r[digits]) && !unicode.IsDigit(r[digits+1])
}

// salutation tells a short line that ends in a comma: "Dear Priya,".
func salutation(line string) bool {
	return len(line) < 45 && strings.HasSuffix(line, ",") && strings.Count(line, " ") < 5
}

// splitSentences cuts a paragraph after its full stops. Quotations are masked
// first, so that a full stop inside one does not end the sentence around it.
func splitSentences(paragraph string) []string {
	text := mask([]rune(paragraph))
	var out []string
	start := 0
	for i := range text {
		if i+1-start >= sentenceMost || sentenceEnd(text, i) {
			out = appendSentence(out, text[start:i+1])
			start = i + 1
		}
	}
	return appendSentence(out, text[start:])
}

func appendSentence(out []string, r []rune) []string {
	if s := strings.TrimSpace(string(r)); s != "" {
		return append(out, s)
	}
	return out
}

// sentenceEnd tells whether the sentence ends with character i.
func sentenceEnd(text []rune, i int) bool {
	next := func(n int) rune {
		if i+n < len(text) {
			return text[i+n]
		}
		return '\n'
	}
	switch text[i] {
	case '。', '．', '！', '？', '｡':
		return !strings.ContainsRune("。！？!?」』）)", next(1))
	case '!', '?':
		return unicode.IsSpace(next(1)) || isJapanese(next(1))
	case '.':
		return unicode.IsSpace(next(1)) && !unicode.IsLower(next(2)) && !abbreviation(text[:i])
	}
	return false
}

// abbreviation tells a word before a dot that does not end a sentence: a title
// or a single letter.
func abbreviation(before []rune) bool {
	i := len(before)
	for i > 0 && unicode.IsLetter(before[i-1]) {
		i--
	}
	switch word := strings.ToLower(string(before[i:])); word {
	case "mr", "mrs", "ms", "dr", "prof", "st", "no", "ref", "vs", "dept", "approx", "co":
		return true
	default:
		return len(before)-i == 1 && word != "i"
	}
}

// closing is the mark that ends a quotation opened by r, 0 if r opens none.
func closing(r rune) rune {
	switch r {
	case '「':
		return '」'
	case '『':
		return '』'
	case '“':
		return '”'
	case '"':
		return '"'
	}
	return 0
}

// mask replaces what is quoted by the masked character, one for one.
func mask(raw []rune) []rune {
	var text []rune
	for i := 0; i < len(raw); i++ {
		end, ok := quotedUntil(raw, i)
		if !ok {
			continue
		}
		if text == nil {
			text = append(text, raw...)
		}
		for j := i + 1; j < end; j++ {
			text[j] = masked
		}
		i = end
	}
	if text == nil {
		return raw
	}
	return text
}

// quotedUntil is the closing mark of the quotation that starts at i.
func quotedUntil(raw []rune, i int) (int, bool) {
	mark := closing(raw[i])
	if mark == 0 {
		return 0, false
	}
	for j := i + 1; j < len(raw) && j-i <= quotedMost; j++ {
		if raw[j] == mark {
			return j, j-i > quotedLeast
		}
	}
	return 0, false
}
