package rewrite

import (
	"bytes"
	mathbits "math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// analysis is one reading with every word found in it. It is lent by the rules
// for one decision: a long text would cost megabytes of garbage each time.
type analysis struct {
	sentences []scanned
	text      []byte     // the sentences one after the other, in normalised form
	found     []findings // by language
	folded    []byte     // scratch of one sentence
	quotes    []span     // of the sentence that is scanned
	out       []finding  // scratch of find
}

// scanned is a sentence in the normalised form of its language.
type scanned struct {
	statement
	norm span // in the text of the analysis
	lex  int  // index of the lexicon it was read with
}

// findings are the words of one language that were found. Those of a class are
// in the order of the sentences.
type findings struct {
	lex    *lexicon
	hits   [][]hit // by class
	from   []int32 // by class: where the hits of the sentence that is scanned begin
	met    []int32 // classes that were met in that sentence
	used   []int32 // classes that were met at all
	spoken bits    // classes found in text or subject
	due    bits    // sequences to look at in that sentence
	needs  bits    // needs of expressions that were met in that sentence
	advice *advice // of the model; nil while nobody has asked
}

type hit struct {
	span
	sentence int32 // index in the analysis
	quoted   bool
}

// largeText is the size of a text whose analysis is not kept for the next one.
const largeText = 128 << 10

// analyse finds every word of every language. The analysis is to be released.
func (rs *Rules) analyse(r *Reading) *analysis {
	an, ok := rs.analyses.Get().(*analysis)
	if !ok {
		an = &analysis{found: make([]findings, len(rs.lexicons))}
		for i, lex := range rs.lexicons {
			an.found[i] = newFindings(lex)
		}
	}
	rs.eachSentence(r, func(s statement) {
		japanese := isJapanese(s.raw)
		for i := range an.found {
			if fs := &an.found[i]; japanese == (fs.lex.language == langJapanese) {
				an.scan(fs, s)
			}
		}
	})
	return an
}

// release takes an analysis back, without anything of the message in it.
func (rs *Rules) release(an *analysis) {
	if cap(an.text) > largeText {
		return
	}
	clear(an.sentences)
	clear(an.text)
	clear(an.folded[:cap(an.folded)])
	clear(an.out[:cap(an.out)])
	an.sentences, an.text = an.sentences[:0], an.text[:0]
	for i := range an.found {
		an.found[i].reset()
	}
	rs.analyses.Put(an)
}

func newFindings(lex *lexicon) findings {
	return findings{
		lex: lex, hits: make([][]hit, lex.classes), from: make([]int32, lex.classes),
		spoken: newBits(lex.classes), due: newBits(len(lex.sequences)), needs: newBits(lex.needs),
	}
}

func (fs *findings) reset() {
	for _, class := range fs.used {
		fs.hits[class] = fs.hits[class][:0]
	}
	clear(fs.spoken)
	fs.advice = nil
	fs.used = fs.used[:0]
}

// of is what was found in the language of a rule.
func (an *analysis) of(lex *lexicon) *findings { return &an.found[lex.index] }

// normal is a sentence in its normalised form.
func (an *analysis) normal(sentence int32) []byte {
	at := an.sentences[sentence].norm
	return an.text[at.start:at.end]
}

// said reports whether a class was found in text or subject; -1 is no class.
func (fs *findings) said(class int) bool { return class >= 0 && fs.spoken.has(class) }

// all are the hits of a class; -1 is no class.
func (fs *findings) all(class int) []hit {
	if class < 0 {
		return nil
	}
	return fs.hits[class]
}

// in are the hits of a class in one sentence.
func (fs *findings) in(sentence int32, class int) []hit {
	all := fs.all(class)
	at, found := slices.BinarySearchFunc(all, sentence, func(h hit, sentence int32) int { return int(h.sentence - sentence) })
	if !found {
		return nil
	}
	return sameSentence(all[at:])
}

// sameSentence are the first hits, as many as stand in one sentence.
func sameSentence(hits []hit) []hit {
	n := 0
	for n < len(hits) && hits[n].sentence == hits[0].sentence {
		n++
	}
	return hits[:n]
}

// eachSentence gives all sentences of a reading to each; those of the text come first.
func (rs *Rules) eachSentence(r *Reading, each func(statement)) {
	read := 0
	for s := range rs.split.sentences(r.Text) {
		each(statement{place: InText, opening: read < openingRunes, raw: s})
		if read < openingRunes {
			read += utf8.RuneCountInString(s)
		}
	}
	for _, field := range []struct {
		place Place
		text  string
	}{{InSubject, r.Subject}, {InFrom, r.From}, {InTo, r.To}} {
		if strings.TrimSpace(field.text) != "" {
			each(statement{place: field.place, raw: field.text})
		}
	}
	for s := range rs.split.sentences(r.Signature) {
		each(statement{place: InSignature, raw: s})
	}
	for s := range rs.split.sentences(r.Quoted) {
		each(statement{place: InQuoted, raw: s})
	}
}

// scan normalises a sentence and finds all classes in it.
func (an *analysis) scan(fs *findings, s statement) {
	lex := fs.lex
	start := len(an.text)
	an.folded = appendFold(an.folded[:0], s.raw, lex.squash)
	an.text = lex.spelling.appendTo(an.text, an.folded)
	an.sentences = append(an.sentences, scanned{statement: s, norm: span{start, len(an.text)}, lex: lex.index})
	norm := an.text[start:]
	an.quotes = appendQuotations(an.quotes[:0], norm)
	an.words(fs, norm)
	an.expressions(fs, norm)
	an.sequences(fs, norm)
	if s.place == InText || s.place == InSubject {
		fs.spoken.set(fs.met)
	}
	fs.met = fs.met[:0]
}

// words finds the plain phrases, and what the expressions need.
func (an *analysis) words(fs *findings, norm []byte) {
	lex := fs.lex
	clear(fs.needs)
	lex.words.each(norm, func(word, end int) {
		fs.needs.set(lex.triggers[word])
		uses := lex.uses[word]
		if len(uses) == 0 {
			return
		}
		start := end - lex.lengths[word]
		whole := lex.squash || boundary(norm, end)
		if !lex.squash && !boundary(norm, start) {
			return
		}
		for _, use := range uses {
			if whole || use.prefix {
				an.add(fs, use.class, span{start, end})
			}
		}
	})
}

// expressions runs those whose needs are met.
func (an *analysis) expressions(fs *findings, norm []byte) {
	for i := range fs.lex.regexps {
		re := &fs.lex.regexps[i]
		if slices.ContainsFunc(re.needs, func(n int32) bool { return !fs.needs.has(int(n)) }) {
			continue
		}
		for _, at := range re.re.FindAllIndex(norm, -1) {
			an.add(fs, re.class, span{at[0], at[1]})
		}
	}
}

// add notes that a class was found in the sentence that is scanned.
func (an *analysis) add(fs *findings, class int, sp span) {
	sentence := int32(len(an.sentences) - 1)
	hits := fs.hits[class]
	if n := len(hits); n == 0 || hits[n-1].sentence != sentence {
		fs.from[class] = int32(n)
		fs.met = append(fs.met, int32(class))
		if n == 0 {
			fs.used = append(fs.used, int32(class))
		}
	}
	quoted := len(an.quotes) > 0 && slices.ContainsFunc(an.quotes, func(q span) bool { return q.start <= sp.start && sp.end <= q.end })
	fs.hits[class] = append(hits, hit{span: sp, sentence: sentence, quoted: quoted})
}

// here are the hits of a class in the sentence that is scanned.
func (an *analysis) here(fs *findings, class int) []hit {
	hits := fs.hits[class]
	if n := len(hits); n == 0 || int(hits[n-1].sentence) != len(an.sentences)-1 {
		return nil
	}
	return hits[fs.from[class]:]
}

// sequences finds the phrases with gaps. Only those whose first piece is there
// are looked at: there are thousands. A sequence that is found may begin others;
// these have greater numbers, so one walk upwards meets all of them.
func (an *analysis) sequences(fs *findings, norm []byte) {
	lex := fs.lex
	clear(fs.due)
	for _, class := range fs.met {
		fs.due.set(lex.starts[class])
	}
	for i := fs.due.next(0); i >= 0; i = fs.due.next(i + 1) {
		seq := &lex.sequences[i]
		known := len(fs.hits[seq.class])
		for _, first := range an.here(fs, seq.pieces[0]) {
			if end, ok := an.follow(fs, norm, seq.pieces[1:], first.end); ok {
				an.add(fs, seq.class, span{first.start, end})
			}
		}
		if len(fs.hits[seq.class]) > known {
			fs.due.set(lex.starts[seq.class])
		}
	}
}

// follow finds the pieces one after the other behind at, each within the gap.
func (an *analysis) follow(fs *findings, norm []byte, pieces []int, at int) (end int, ok bool) {
	if len(pieces) == 0 {
		return at, true
	}
	for _, h := range an.here(fs, pieces[0]) {
		if h.start < at || h.start-at > fs.lex.gap*utf8.UTFMax || utf8.RuneCount(norm[at:h.start]) > fs.lex.gap {
			continue
		}
		if end, ok = an.follow(fs, norm, pieces[1:], h.end); ok {
			return end, true
		}
	}
	return 0, false
}

// boundary reports whether no word goes on across s[at].
func boundary(s []byte, at int) bool {
	if at == 0 || at == len(s) {
		return true
	}
	if a, b := s[at-1], s[at]; a < utf8.RuneSelf && b < utf8.RuneSelf {
		return !isWordByte(a) || !isWordByte(b)
	}
	before, _ := utf8.DecodeLastRune(s[:at])
	after, _ := utf8.DecodeRune(s[at:])
	return !isWordRune(before) || !isWordRune(after)
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// isWordByte is isWordRune for ASCII.
func isWordByte(c byte) bool { return isAlphanumeric(c) }

// bits is a set of small numbers.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) has(n int) bool { return b[n/64]&(1<<(n%64)) != 0 }

func (b bits) set(numbers []int32) {
	for _, n := range numbers {
		b[n/64] |= 1 << (n % 64)
	}
}

// next is the smallest number in the set from n on, or -1.
func (b bits) next(n int) int {
	for word := n / 64; word < len(b); word++ {
		rest := b[word]
		if word == n/64 {
			rest &= ^uint64(0) << (n % 64)
		}
		if rest != 0 {
			return word*64 + mathbits.TrailingZeros64(rest)
		}
	}
	return -1
}

// appendQuotations adds the ranges between quotation marks in a folded sentence.
func appendQuotations(out []span, s []byte) []span {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf && s[i] != '"' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		i += size
		closing, ok := closingQuote(r)
		if !ok {
			continue
		}
		j := bytes.Index(s[i:], []byte(closing))
		if j < 0 {
			continue
		}
		out = append(out, span{i, i + j})
		i += j + len(closing)
	}
	return out
}
