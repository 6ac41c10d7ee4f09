package rewrite

import (
	"unicode/utf8"
)

// findings is what the signals of all rules found in one message.
type findings struct {
	rs        *Rules
	sentences []sentence
	found     []hit // by signal
}

// hit is the first sentence in which a signal was found.
type hit struct {
	ok       bool
	sentence int
}

// occurrence is a piece in a sentence, in bytes of the normalised text.
type occurrence struct {
	piece      int32
	start, end int
}

// roles tells which roles of a signal's phrases a sentence fulfils.
type roles [near + 1]bool

// find reads the message sentence by sentence.
func (rs *Rules) find(r *Reading) *findings {
	f := &findings{rs: rs, sentences: rs.split(r), found: make([]hit, len(rs.signals))}
	said := make([]map[int32]*roles, len(f.sentences))
	var seen []occurrence
	for i := range f.sentences {
		seen = rs.occurrences(f.sentences[i].text, seen[:0])
		said[i] = rs.fulfilled(f.sentences[i].text, seen)
	}
	for i := range f.sentences {
		for s, has := range said[i] {
			if has[says] && !f.found[s].ok && f.holds(int(s), i, said) {
				f.found[s] = hit{ok: true, sentence: i}
			}
		}
	}
	return f
}

// holds tells whether signal s is found in sentence i, one of whose phrases it has.
func (f *findings) holds(s, i int, said []map[int32]*roles) bool {
	sig, here := &f.rs.signals[s], &f.sentences[i]
	has := said[i][int32(s)]
	if !here.in(sig.Where) || has[without] || len(sig.With) > 0 && !has[with] {
		return false
	}
	if len(sig.Near) == 0 {
		return true
	}
	for j := max(0, i-sig.Within); j <= min(len(said)-1, i+sig.Within); j++ {
		if there := said[j][int32(s)]; there != nil && there[near] && f.sentences[j].where == here.where {
			return true
		}
	}
	return false
}

// in tells whether the sentence belongs to the part a signal looks at.
func (s *sentence) in(where Where) bool {
	switch where {
	case InBoth:
		return s.where == InText || s.where == InSubject
	case InOpening:
		return s.where == InText && s.index < openingSentences
	}
	return s.where == where
}

// split gives the sentences of all parts, normalised.
func (rs *Rules) split(r *Reading) []sentence {
	var out []sentence
	add := func(where Where, text string, header bool) {
		for i, raw := range sentences(text) {
			if header {
				i = -1
			}
			out = append(out, sentence{where, i, raw, sentenceStart + rs.spelling.apply(normalise(raw)) + sentenceStop})
		}
	}
	add(InSubject, r.Subject, true)
	add(InFrom, r.From, true)
	add(InTo, r.To, true)
	add(InText, r.Text, false)
	add(InSignature, r.Signature, true)
	add(InQuoted, r.Quoted, true)
	return out
}

// occurrences appends the pieces that occur in text, ordered by end.
func (rs *Rules) occurrences(text string, to []occurrence) []occurrence {
	rs.matcher.scan(text, func(entry int32, start, end int) {
		for _, l := range rs.byText[entry] {
			lit := &rs.literals[l]
			if lit.boundary.start && wordBefore(text, start) || lit.boundary.end && wordAfter(text, end) {
				continue
			}
			for _, p := range lit.pieces {
				to = append(to, occurrence{p, start, end})
			}
		}
	})
	return to
}

func wordBefore(text string, at int) bool {
	r, _ := utf8.DecodeLastRuneInString(text[:at])
	return latin(r)
}

func wordAfter(text string, at int) bool {
	r, _ := utf8.DecodeRuneInString(text[at:])
	return latin(r)
}

// fulfilled tells by signal which of its roles the sentence fulfils. Word classes
// come first, level by level, each adding its pieces to those seen.
func (rs *Rules) fulfilled(text string, seen []occurrence) map[int32]*roles {
	out := map[int32]*roles{}
	for _, byFirst := range rs.levels {
		made := len(seen)
		for i := range made {
			for _, q := range byFirst[seen[i].piece] {
				seq := &rs.sequences[q]
				if seq.signal < 0 {
					if end, ok := follows(text, seen[:made], seen[i].end, seq.steps[1:]); ok {
						seen = append(seen, occurrence{seq.makes, seen[i].start, end})
					}
					continue
				}
				has := out[seq.signal]
				if has != nil && has[seq.role] {
					continue
				}
				if _, ok := follows(text, seen[:made], seen[i].end, seq.steps[1:]); !ok {
					continue
				}
				if has == nil {
					has = &roles{}
					out[seq.signal] = has
				}
				has[seq.role] = true
			}
		}
	}
	return out
}

// follows tells whether steps stand one after the other from byte at on, and
// where the first such way ends.
func follows(text string, seen []occurrence, at int, steps []step) (int, bool) {
	if len(steps) == 0 {
		return at, true
	}
	for _, o := range seen {
		if o.piece != steps[0].piece || o.start < at || !fits(text[at:o.start], steps[0].gap) {
			continue
		}
		if end, ok := follows(text, seen, o.end, steps[1:]); ok {
			return end, true
		}
	}
	return 0, false
}

// fits tells whether what stands between two pieces is short enough.
func fits(between string, gap int) bool {
	if gap == 0 {
		return between == "" || between == " "
	}
	return utf8.RuneCountInString(between) <= gap
}
