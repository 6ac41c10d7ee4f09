package rewrite

import (
	"fmt"
	"html"
	"strings"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// Wording is one text of the inserted block, as plain text and as HTML. The
// placeholders {{link}}, {{optout_link}}, {{company}} and {{agency}} stand in both.
type Wording struct {
	ID       string // such as ja-standard
	Language string // "ja" or "en"
	Kind     Kind   // Rejection or Leaver
	Text     string // lines end in LF
	HTML     string
}

// Values fill the placeholders of a wording.
type Values struct {
	Link, OptOut    string
	Company, Agency string
}

// Block is a wording with its values: what is inserted, before any encoding.
type Block struct {
	Link  string // the link alone, for the placeholder {{career_relay_link}}
	Text  string // lines end in LF
	ASCII string // for a text part whose charset cannot carry Text; "" for none
	HTML  string
}

// Render fills the placeholders. ascii is the wording for charsets that cannot
// carry this one; nil for none.
func (w Wording) Render(v Values, ascii *Wording) Block {
	b := Block{Link: v.Link, Text: v.fill(w.Text), HTML: v.fillHTML(w.HTML)}
	if ascii != nil {
		b.ASCII = v.fill(ascii.Text)
	}
	return b
}

func (v Values) fill(template string) string {
	return strings.NewReplacer("{{link}}", v.Link, "{{optout_link}}", v.OptOut, "{{company}}", v.Company, "{{agency}}", v.Agency).Replace(template)
}

func (v Values) fillHTML(template string) string {
	escaped := Values{html.EscapeString(v.Link), html.EscapeString(v.OptOut), html.EscapeString(v.Company), html.EscapeString(v.Agency)}
	return escaped.fill(template)
}

// maxColumns is the longest line of a block before substitution; a wide
// character counts as two.
const maxColumns = 76

// gifts are words that promise a reward, in lower case: agencies may not give any,
// and a block that sounds like it does harm.
var gifts = []string{
	"特典", "ギフト", "ポイント", "祝い金", "プレゼント", "クーポン", "商品券", "キャッシュバック",
	"amazon", "gift", "reward", "voucher", "bonus", "coupon", "cashback",
}

// Lint lists what is wrong with the wording, in words for the administrator.
func (w Wording) Lint() []string {
	var l lint
	l.both(w)
	l.text(w)
	l.html(w)
	return l.problems
}

type lint struct{ problems []string }

func (l *lint) add(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// both checks what the law wants of either form.
func (l *lint) both(w Wording) {
	for form, body := range map[string]string{"text": w.Text, "html": w.HTML} {
		for _, p := range []string{"{{link}}", "{{optout_link}}", "{{company}}", "{{agency}}"} {
			if !strings.Contains(body, p) {
				l.add("%s: placeholder %s is missing", form, p)
			}
		}
		if !strings.Contains(body, "広告") && !strings.Contains(body, "advertisement") {
			l.add("%s: the label 広告 or advertisement is missing", form)
		}
		plain := strings.ToLower(norm.NFKC.String(body))
		for _, word := range gifts {
			if strings.Contains(plain, word) {
				l.add("%s: %q sounds like a gift; agencies may not promise any", form, word)
			}
		}
		if bad := beyondJIS(body); bad != "" {
			l.add("%s: %s is an addition of some vendors to the Japanese charsets, which not every reader has", form, bad)
		}
		for _, name := range []string{"iso-2022-jp", "shift_jis", "euc-jp"} {
			if _, err := lookupCharset(name).encode(body); err != nil {
				l.add("%s: a character is missing in %s", form, name)
			}
		}
		if w.Language == "en" && !isASCII([]byte(body)) {
			l.add("%s: an English wording must be ASCII, it is the fallback for every charset", form)
		}
	}
}

// beyondJIS is the first character that the Japanese charsets owe to a vendor and
// not to JIS X 0208, such as ① or half-width kana; "" if there is none.
func beyondJIS(text string) string {
	eucJP := lookupCharset("euc-jp")
	for _, r := range text {
		b, err := eucJP.encode(string(r))
		if err != nil || len(b) < 2 {
			continue // said already, or ASCII
		}
		// Row 13 is NEC's, those above 84 are IBM's; 8E and 8F lead to other sets.
		if row := int(b[0]) - 0xa0; row == 13 || row > 84 || row < 0 {
			return string(r)
		}
	}
	return ""
}

// text checks that no line changes how a mail parses or reads.
func (l *lint) text(w Wording) {
	lines := strings.Split(strings.TrimSuffix(w.Text, "\n"), "\n")
	for i, s := range lines {
		for _, prefix := range []string{"--", ">", "From ", ".", " ", "\t"} {
			if strings.HasPrefix(s, prefix) {
				l.add("text line %d: must not start with %q", i+1, prefix)
			}
		}
		if strings.HasSuffix(s, " ") {
			l.add("text line %d: must not end with a blank (format=flowed)", i+1)
		}
		if n := columns(s); n > maxColumns {
			l.add("text line %d: %d columns, at most %d", i+1, n, maxColumns)
		}
		if strings.Contains(s, "{{link}}") && s != "{{link}}" || strings.Contains(s, "{{optout_link}}") && s != "{{optout_link}}" {
			l.add("text line %d: a link stands alone on its line", i+1)
		}
		if s == "{{optout_link}}" && (i == 0 || !stopNotice(lines[i-1])) {
			l.add("text line %d: the line before the opt-out link must say that the notice can be stopped", i+1)
		}
	}
}

func stopNotice(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "停止") || strings.Contains(s, "stop")
}

// html checks that the block loads nothing and hides nothing.
func (l *lint) html(w Wording) {
	for _, tag := range []string{"<img", "<script", "<style", "<link", "<iframe", "<table", "<body"} {
		if strings.Contains(strings.ToLower(w.HTML), tag) {
			l.add("html: %s> has no place in the block", tag)
		}
	}
	if !strings.Contains(w.HTML, " lang=") {
		l.add("html: the lang attribute is missing")
	}
	if at := strings.Index(w.HTML, "{{optout_link}}"); at >= 0 && !stopNotice(w.HTML[max(0, at-240):min(len(w.HTML), at+120)]) {
		l.add("html: the opt-out link must say that the notice can be stopped")
	}
}

// columns is the width of a line on a screen with fixed columns.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth, width.EastAsianAmbiguous:
			n += 2
		default:
			n++
		}
	}
	return n
}
