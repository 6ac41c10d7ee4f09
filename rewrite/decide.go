package rewrite

import (
	"cmp"
	mathbits "math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Decide says what the message is, for the relay, and why. It depends on nothing
// but its arguments. Doubt is None: a wrong link harms, a missed one does not.
func (rs *Rules) Decide(r *Reading, env Envelope) Verdict {
	if reason := rs.guard(r, env); reason != "" {
		return Verdict{Kind: None, Reason: reason}
	}
	return rs.judge(r)
}

// judge applies the rules without looking at the envelope.
func (rs *Rules) judge(r *Reading) Verdict {
	an := rs.analyse(r)
	vetoed := map[Kind]finding{}
	for _, rule := range rs.rules {
		if _, ok := vetoed[rule.Kind]; ok {
			continue
		}
		if f, ok := an.firstVeto(rule); ok {
			vetoed[rule.Kind] = f
		}
	}
	best := Verdict{Kind: None, Reason: ReasonNoRule}
	for _, rule := range rs.rules {
		v := an.apply(rule)
		if f, ok := vetoed[rule.Kind]; ok && v.Score > 0 {
			v.Evidence = append(v.Evidence, f.evidence(-rule.Threshold))
			v.Kind, v.Reason = None, ReasonContrary
		}
		if better(v, best) {
			best = v
		}
	}
	slices.SortStableFunc(best.Evidence, func(a, b Evidence) int { return cmp.Compare(a.Sentence, b.Sentence) })
	return best
}

// Try applies one rule, with every veto of its kind, to a reading: what its
// examples are checked with. It is false for a rule that decides nothing.
func (rs *Rules) Try(id string, r *Reading) (Verdict, bool) {
	for _, rule := range rs.rules {
		if rule.ID != id {
			continue
		}
		an := rs.analyse(r)
		v := an.apply(rule)
		for _, other := range rs.rules {
			if f, ok := an.firstVeto(other); ok && other.Kind == rule.Kind {
				v.Evidence = append(v.Evidence, f.evidence(-rule.Threshold))
				v.Kind, v.Reason = None, ReasonContrary
				break
			}
		}
		return v, true
	}
	return Verdict{}, false
}

// better prefers a decision to a near miss, then the higher score, then a
// rejection: it is the narrower word.
func better(v, than Verdict) bool {
	if (v.Kind != None) != (than.Kind != None) {
		return v.Kind != None
	}
	return v.Score > than.Score
}

// finding is a clause that was met, and the sentence that met it.
type finding struct {
	clause   *clause
	sentence int // -1 for header fields
	text     string
}

func (f finding) evidence(weight float64) Evidence {
	return Evidence{ID: f.clause.ID, Weight: weight, Text: f.text, Sentence: f.sentence}
}

// analysis is one reading with every word found in it.
type analysis struct {
	sentences []scanned
	seen      map[*lexicon]map[int]bool // classes found in text or subject
}

// scanned is a sentence in the normalised form of its language.
type scanned struct {
	statement
	lex  *lexicon
	norm string
	hits map[int][]hit // by class
}

type hit struct {
	span
	quoted bool
}

func (rs *Rules) analyse(r *Reading) *analysis {
	an := &analysis{seen: map[*lexicon]map[int]bool{}}
	for _, s := range rs.sentences(r) {
		for language, lex := range rs.lexicons {
			if (language == langJapanese) != isJapanese(s.raw) {
				continue
			}
			sc := lex.scan(s)
			an.sentences = append(an.sentences, sc)
			if s.place != InText && s.place != InSubject {
				continue
			}
			if an.seen[lex] == nil {
				an.seen[lex] = map[int]bool{}
			}
			for class := range sc.hits {
				an.seen[lex][class] = true
			}
		}
	}
	return an
}

// sentences are all sentences of a reading; those of the text come first.
func (rs *Rules) sentences(r *Reading) []statement {
	var out []statement
	read := 0
	for _, s := range rs.split.sentences(r.Text) {
		out = append(out, statement{place: InText, opening: read < openingRunes, raw: s})
		read += utf8.RuneCountInString(s)
	}
	for _, field := range []struct {
		place Place
		text  string
	}{{InSubject, r.Subject}, {InFrom, r.From}, {InTo, r.To}} {
		if strings.TrimSpace(field.text) != "" {
			out = append(out, statement{place: field.place, raw: field.text})
		}
	}
	for _, s := range rs.split.sentences(r.Signature) {
		out = append(out, statement{place: InSignature, raw: s})
	}
	for _, s := range rs.split.sentences(r.Quoted) {
		out = append(out, statement{place: InQuoted, raw: s})
	}
	return out
}

// scan normalises a sentence and finds all classes in it.
func (lex *lexicon) scan(s statement) scanned {
	sc := scanned{statement: s, lex: lex, hits: map[int][]hit{}}
	sc.norm = lex.spelling.Replace(fold(s.raw, lex.squash))
	quotes := quotations(sc.norm)
	add := func(class int, sp span) {
		h := hit{span: sp, quoted: slices.ContainsFunc(quotes, func(q span) bool { return q.start <= sp.start && sp.end <= q.end })}
		sc.hits[class] = append(sc.hits[class], h)
	}
	lex.words.each(sc.norm, func(word, end int) {
		start := end - lex.lengths[word]
		whole := lex.squash || boundary(sc.norm, end)
		if !lex.squash && !boundary(sc.norm, start) {
			return
		}
		for _, use := range lex.uses[word] {
			if whole || use.prefix {
				add(use.class, span{start, end})
			}
		}
	})
	for _, re := range lex.regexps {
		for _, at := range re.re.FindAllStringIndex(sc.norm, -1) {
			add(re.class, span{at[0], at[1]})
		}
	}
	sc.sequences(add)
	return sc
}

// sequences finds the phrases with gaps. Only those whose first piece is there
// are looked at: there are thousands. A sequence that is found may begin others;
// these have greater numbers, so one walk upwards meets all of them.
func (sc *scanned) sequences(add func(class int, sp span)) {
	due := make(bits, len(sc.lex.sequences)/64+1)
	for class := range sc.hits {
		due.set(sc.lex.starts[class])
	}
	for i := due.next(0); i >= 0; i = due.next(i + 1) {
		seq := &sc.lex.sequences[i]
		known := len(sc.hits[seq.class])
		for _, first := range sc.hits[seq.pieces[0]] {
			if end, ok := sc.follow(seq.pieces[1:], first.end); ok {
				add(seq.class, span{first.start, end})
			}
		}
		if len(sc.hits[seq.class]) > known {
			due.set(sc.lex.starts[seq.class])
		}
	}
}

// bits is a set of small numbers.
type bits []uint64

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

// follow finds the pieces one after the other behind at, each within the gap.
func (sc *scanned) follow(pieces []int, at int) (end int, ok bool) {
	if len(pieces) == 0 {
		return at, true
	}
	for _, h := range sc.hits[pieces[0]] {
		if h.start < at || utf8.RuneCountInString(sc.norm[at:h.start]) > sc.lex.gap {
			continue
		}
		if end, ok = sc.follow(pieces[1:], h.end); ok {
			return end, true
		}
	}
	return 0, false
}

// boundary reports whether no word goes on across s[at].
func boundary(s string, at int) bool {
	if at == 0 || at == len(s) {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at:])
	return !isWordRune(before) || !isWordRune(after)
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// apply adds up what a rule finds.
func (an *analysis) apply(r *compiledRule) Verdict {
	v := Verdict{Kind: None, Rule: r.ID, Language: r.Language, Wording: r.Wording, Reason: ReasonBelowThreshold}
	needed := len(r.Needs) == 0
	for i := range r.evidence {
		c := &r.evidence[i]
		for _, f := range an.find(r, c) {
			v.Score += c.Score
			v.Evidence = append(v.Evidence, f.evidence(c.Score))
			needed = needed || slices.Contains(r.Needs, c.ID)
		}
	}
	switch {
	case !needed:
		v.Score = min(v.Score, 0)
		v.Reason = ReasonNoRule
	case v.Score >= r.Threshold:
		v.Kind, v.Reason = r.Kind, ""
	}
	v.Stage = an.stage(r)
	return v
}

func (an *analysis) stage(r *compiledRule) string {
	for _, st := range r.stages {
		if an.seen[r.lex][st.any] {
			return st.id
		}
	}
	return ""
}

func (an *analysis) firstVeto(r *compiledRule) (finding, bool) {
	for i := range r.veto {
		if found := an.find(r, &r.veto[i]); len(found) > 0 {
			return found[0], true
		}
	}
	return finding{}, false
}

// find is every sentence that meets a clause, up to its maximum.
func (an *analysis) find(r *compiledRule, c *clause) []finding {
	seen := an.seen[r.lex]
	for _, class := range c.all {
		if !seen[class] {
			return nil
		}
	}
	if c.unlessMail >= 0 && seen[c.unlessMail] {
		return nil
	}
	var out []finding
	for i := range an.sentences {
		sc := &an.sentences[i]
		if sc.lex != r.lex || !c.looksAt(&sc.statement) || !sc.meets(c) {
			continue
		}
		f := finding{clause: c, sentence: i, text: sc.raw}
		if sc.place != InText {
			f.sentence = -1
		}
		if out = append(out, f); len(out) == max(c.Max, 1) {
			break
		}
	}
	return out
}

func (c *clause) looksAt(s *statement) bool {
	if len(c.In) == 0 {
		return s.place == InText
	}
	return slices.Contains(c.In, s.place) || s.opening && slices.Contains(c.In, InOpening)
}

// meets reports whether one sentence has what the clause asks of a sentence.
func (sc *scanned) meets(c *clause) bool {
	if c.unless >= 0 && len(sc.hits[c.unless]) > 0 {
		return false
	}
	for _, anchor := range sc.hits[c.any] {
		if (c.Quoted || !anchor.quoted) && sc.accompanied(anchor, c) {
			return true
		}
	}
	return false
}

func (sc *scanned) accompanied(anchor hit, c *clause) bool {
	for _, class := range c.same {
		near := func(h hit) bool { return c.Near == 0 || runesBetween(sc.norm, anchor.span, h.span) <= c.Near }
		if !slices.ContainsFunc(sc.hits[class], near) {
			return false
		}
	}
	return true
}
