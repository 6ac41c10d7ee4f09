package rewrite

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// layout says which lines are the writer's newest text.
type layout struct {
	history   int    // first line of the quoted mail that runs to the end; len(lines) if none
	signature int    // first line of the signature; history if there is none
	quoted    []bool // lines above that are quoted one by one, or introduce a quotation
	forwarded bool   // the mail is little more than somebody else's mail
}

// last is the last line of newest text that is not empty, or -1.
func (l layout) last(lines []line) int {
	for i := l.signature - 1; i >= 0; i-- {
		if !l.quoted[i] && strings.TrimSpace(lines[i].text) != "" {
			return i
		}
	}
	return -1
}

// Conventions of mail programs in Japan and the West.
var (
	separator    = regexp.MustCompile(`^\W{0,2}[-_=*]{2,}\s*(original message|original appointment|forwarded message|forwarded by|begin forwarded message|元のメッセージ|転送メッセージ|転送されたメッセージ|メッセージ転送|replied message).{0,80}$|^begin forwarded message:|^(以下|下記)?.{0,4}(転送いたします|転送します)。?$`)
	attribution  = regexp.MustCompile(`^(on .{6,160} wrote:|le .{6,160} a écrit :|am .{6,160} schrieb .*:|.{0,80}\d{4}[年/.-].{0,100}(:|wrote:|書きました:|のメール:|さんは書きました:|からのメッセージ:)|.{0,60}(さんが書きました|さんは書きました|wrote|writes):|in reply to .{4,80}:)$`)
	historyField = regexp.MustCompile(`^[*＊]?(from|sent|date|to|cc|subject|reply-to|差出人|送信者|送信日時|送信日|日時|日付|宛先|件名|cc|from:)[*＊]?\s*[:：]\s?.*`)
	historyFirst = regexp.MustCompile(`^[*＊]?(from|差出人|送信者)[*＊]?\s*[:：]`)
	contact      = regexp.MustCompile(`(?i)\b(tel|fax|phone|mobile|e-?mail|mail|url|web|https?://|www\.|〒)|〒|電話|住所|携帯|内線|\d{2,4}-\d{2,4}-\d{3,4}|[\w.+-]+@[\w-]+\.|株式会社|有限会社|合同会社|法人|\b(inc|ltd|llc|gmbh|plc|co)\b\.?`)
	speaks       = regexp.MustCompile(`(ます|です|ました|ません|でした|ください|下さい|ございます|致します|存じます|ませ)[。．!！]?$|[。]$|[a-z]{2,}[.!?]$`)
	disclaimer   = regexp.MustCompile(`(?i)送信専用|自動送信|自動配信|返信(でき|いただ|され)|配信停止|心当たり|機密|秘密情報|破棄|無断|confidential|intended recipient|automatically generated|do not reply|unsubscribe|registered (in|office)|privacy policy|equal opportunity|sent from|disclaimer`)
)

// findLayout divides the lines of a decoded text.
func findLayout(lines []line) layout {
	l := layout{history: len(lines), quoted: make([]bool, len(lines))}
	folded := make([]string, len(lines))
	for i, ln := range lines {
		folded[i] = foldLine(ln.text)
		l.quoted[i] = ln.quoted || quotePrefix(folded[i])
		folded[i] = strings.TrimSpace(folded[i])
	}
	for i := range folded {
		if !l.quoted[i] && startsHistory(folded, i) {
			l.history = i
			break
		}
	}
	l.markAttributions(folded)
	l.signature = l.findSignature(lines, folded)
	l.forwarded = l.history < len(lines) && l.wordsBefore(lines) < 60 && forwardMark(folded, l.history)
	return l
}

// foldLine is the form in which lines are looked at: NFKC, lower case, without
// blanks at the end.
func foldLine(s string) string {
	upper := false
	for _, r := range s {
		if composed, ok := compose(r); !ok || composed != r {
			return strings.ToLower(strings.TrimRight(norm.NFKC.String(s), " \t"))
		}
		upper = upper || r >= 'A' && r <= 'Z'
	}
	s = strings.TrimRight(s, " \t")
	if !upper {
		return s // the rest of what is composed by itself has no case
	}
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b)
}

// startsHistory tells whether the whole rest of the mail is an older one.
func startsHistory(folded []string, i int) bool {
	line := folded[i]
	if separates(line) {
		return true
	}
	if !beginsWithAny(strings.TrimPrefix(line, "*"), "from", "差出人", "送信者") || !historyFirst.MatchString(line) {
		return false
	}
	fields := 0
	for _, next := range folded[i:min(i+8, len(folded))] {
		if historyField.MatchString(next) {
			fields++
		}
	}
	return fields >= 3
}

// separates tells whether the line introduces an older mail. What every such
// line begins or ends with spares the others the expression.
func separates(line string) bool {
	const signs = "-_=*"
	end := strings.TrimSuffix(line, "。")
	if !strings.HasPrefix(line, "begin") && !strings.HasSuffix(end, "転送いたします") && !strings.HasSuffix(end, "転送します") {
		start := line
		for range 3 { // characters, of which the third at the latest is a sign
			_, size := utf8.DecodeRuneInString(start)
			start = start[size:]
		}
		if !strings.ContainsAny(line[:len(line)-len(start)], signs) {
			return false
		}
	}
	return separator.MatchString(line)
}

func beginsWithAny(s string, beginnings ...string) bool {
	return slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(s, b) })
}

// attributes tells whether the line says who wrote what follows.
func attributes(line string) bool {
	return strings.HasSuffix(line, ":") && attribution.MatchString(line)
}

// quotePrefix tells whether the line is quoted: a mark behind three blanks at most.
func quotePrefix(line string) bool {
	mark := strings.TrimLeft(line, " \t")
	if len(line)-len(mark) > 3 {
		return false
	}
	return strings.HasPrefix(mark, ">") || strings.HasPrefix(mark, "»") || strings.HasPrefix(mark, "|")
}

// markAttributions marks "On … wrote:" lines in front of a quotation, wrapped
// over two lines or not; without quote marks the rest is history.
func (l *layout) markAttributions(folded []string) {
	for i := 0; i < l.history; i++ {
		if l.quoted[i] {
			continue
		}
		line, n := folded[i], 1
		if strings.HasPrefix(line, "on ") && !attributes(line) && i+1 < l.history {
			line, n = line+" "+folded[i+1], 2
		}
		if !attributes(line) {
			continue
		}
		next := i + n
		for next < l.history && folded[next] == "" {
			next++
		}
		switch {
		case next < l.history && l.quoted[next]:
			for k := i; k < next; k++ {
				l.quoted[k] = true
			}
		case n == 1 && strings.Contains(line, "wrote:"):
			l.history = i
		}
	}
}

// findSignature finds where the signature starts: behind "-- ", at a rule line
// with only contact data behind it, or at a last paragraph of contact data.
func (l layout) findSignature(lines []line, folded []string) int {
	end := l.history
	for end > 0 && (l.quoted[end-1] || strings.TrimSpace(lines[end-1].text) == "") {
		end-- // bottom of the newest text
	}
	for i := 0; i < end; i++ {
		if l.quoted[i] {
			continue
		}
		if (lines[i].text == "-- " || lines[i].text == "--") && !l.quotedBetween(i, end) && end-i <= 30 {
			return i
		}
		if isDrawn(folded[i]) && isRule(folded[i]) && i > 0 && signatureBlock(folded[i+1:end]) {
			return i
		}
	}
	return l.lastParagraph(folded, end)
}

func (l layout) quotedBetween(from, to int) bool {
	for i := from; i < to; i++ {
		if l.quoted[i] {
			return true
		}
	}
	return false
}

// isDrawn tells whether a line consists of four signs or more with which people
// draw lines, or of blanks.
func isDrawn(s string) bool {
	n := 0
	for _, r := range s {
		if !strings.ContainsRune("-_=*~+#/\\.:|^<>・…‥─━―—–‐ー＝＊＿〜◆◇■□●○◎★☆▼▽▲△♪※｜┃│┏┓┗┛┌┐└┘╋╂┳┻ \t\n\f\r", r) {
			return false
		}
		n++
	}
	return n >= 4
}

// isRule tells a drawn line from a line that merely holds no letters.
func isRule(s string) bool {
	s = strings.Join(strings.Fields(s), "")
	return utf8.RuneCountInString(s) >= 4
}

// signatureBlock tells whether lines are contact data and disclaimers only: some
// contact, no sentence that says anything else.
func signatureBlock(folded []string) bool {
	found, count := false, 0
	for _, s := range folded {
		if s == "" || isDrawn(s) {
			continue
		}
		if count++; count > 25 {
			return false // nobody's signature is as long, and a long text costs time
		}
		if disclaimer.MatchString(s) {
			found = true
			continue
		}
		if speaks.MatchString(s) && !contact.MatchString(s) {
			return false
		}
		found = found || contact.MatchString(s)
	}
	return found
}

// lastParagraph takes trailing paragraphs without any sentence for the signature
// when they hold contact data; names alone ("Kind regards, Jo") stay.
func (l layout) lastParagraph(folded []string, end int) int {
	signature := l.history
	for end > 0 {
		start := end
		for start > 0 && folded[start-1] != "" && !l.quoted[start-1] {
			start--
		}
		if start == 0 || !signatureBlock(folded[start:end]) || !hasContactLine(folded[start:end]) {
			return signature
		}
		signature, end = start, start
		for end > 0 && folded[end-1] == "" {
			end--
		}
	}
	return signature
}

var strongContact = regexp.MustCompile(`(?i)\b(tel|fax|phone)\b|〒|電話|https?://|www\.|\d{2,4}-\d{2,4}-\d{3,4}|[\w.+-]+@[\w-]+\.`)

// hasContactLine wants a telephone number, an address or the like, and no wish.
func hasContactLine(folded []string) bool {
	for _, s := range folded {
		if strings.Contains(s, "祈") || strings.Contains(s, "regards") || strings.Contains(s, "sincerely") || strings.Contains(s, "以上") {
			return false
		}
	}
	return strongContact.MatchString(strings.Join(folded, "\n"))
}

// wordsBefore counts the characters of newest text above the history.
func (l layout) wordsBefore(lines []line) int {
	n := 0
	for i := range lines[:l.history] {
		if !l.quoted[i] {
			n += utf8.RuneCountInString(strings.TrimSpace(lines[i].text))
		}
	}
	return n
}

// forwardMark tells whether the history was passed on rather than answered.
func forwardMark(folded []string, at int) bool {
	s := folded[at]
	return strings.Contains(s, "forward") || strings.Contains(s, "転送")
}
