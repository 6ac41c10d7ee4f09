package rewrite

import (
	"cmp"
	"maps"
	"slices"
)

// WithModel are the same rules with a model for those that ask one; nil is none.
func (rs *Rules) WithModel(m *Model) *Rules {
	return &Rules{rules: rs.rules, lexicons: rs.lexicons, split: rs.split, except: rs.except, model: m}
}

// Ids of the model's evidence.
const (
	modelSays  = "model"       // the sentence that spoke most
	modelWords = "model_words" // words of it, with their own part in the score
)

// advice is the opinion of the model, and what it read.
type advice struct {
	model    *linear
	opinion  opinion
	sheet    sheet
	sentence int // of the analysis: the one that spoke most as the model does; -1: there is none
}

// advice asks the model of a language once for each analysis.
func (rs *Rules) advice(an *analysis, lex *lexicon) *advice {
	fs := an.of(lex)
	if fs.advice == nil {
		s, at := sheetOf(an, lex)
		m := rs.model.languages[lex.language]
		a := &advice{model: m, opinion: m.opine(s), sheet: s, sentence: -1}
		switch {
		case a.opinion.loudest < 0:
		case a.opinion.score < 0:
			a.sentence = at[a.opinion.quietest]
		default:
			a.sentence = at[a.opinion.loudest]
		}
		fs.advice = a
	}
	return fs.advice
}

// yields reports whether a veto gives way to the model.
func (rs *Rules) yields(an *analysis, r *compiledRule, c *clause) bool {
	return c.UnlessModel > 0 && rs.model.speaks(r.Language) && rs.advice(an, r.lex).opinion.score >= c.UnlessModel
}

// nearBy is how many log odds a mail may lack to count as a near miss.
const nearBy = 1

// consult asks the model about what a rule would decide, and is the reason why it
// does not, or "". A rule with a Model above 0 decides only where the model
// agrees by as much, one below 0 unless the model objects by more.
func (rs *Rules) consult(an *analysis, r *compiledRule, v *Verdict) string {
	if r.Model == 0 {
		return ""
	}
	if !rs.model.speaks(r.Language) {
		if r.Model > 0 {
			return ReasonNoRule
		}
		return ""
	}
	a := rs.advice(an, r.lex)
	v.Evidence = append(v.Evidence, a.evidence(an, r)...)
	switch lack := r.Model - a.opinion.score; {
	case lack <= 0:
		return ""
	case r.Model < 0:
		return ReasonModelDoubts
	case lack <= nearBy:
		return ReasonBelowThreshold
	}
	return ReasonNoRule
}

// evidence shows the sentence that spoke most, and words of it.
func (a *advice) evidence(an *analysis, r *compiledRule) []Evidence {
	e := Evidence{ID: modelSays, Weight: a.opinion.score, Sentence: a.sentence}
	if a.sentence < 0 {
		return []Evidence{e}
	}
	e.Text = an.sentences[a.sentence].raw
	return append([]Evidence{e}, a.words(an, r, e)...)
}

// speaks reports whether there is a model, and of the language.
func (m *Model) speaks(language string) bool { return m != nil && m.languages[language] != nil }

// shownWords is how many words of the loudest sentence are shown.
const shownWords = 4

// words are the grams of the sentence of e that spoke most in the direction in
// which the model spoke; none overlaps another.
func (a *advice) words(an *analysis, r *compiledRule, e Evidence) []Evidence {
	norm := an.normal(int32(e.Sentence))
	sign := 1.0
	if e.Weight < 0 {
		sign = -1
	}
	var own bucketSet
	n := len(own.take(r.Language, norm, nil))
	all := map[span]float64{}
	eachGram(r.Language, norm, func(bucket uint16, start, end int) {
		w := a.model.sentence.share(bucket, n) + a.model.whole.share(bucket, len(a.sheet.whole))
		if w *= sign; w > 0 {
			all[span{max(start, 0), min(end, len(norm))}] += w
		}
	})
	order := slices.SortedFunc(maps.Keys(all), func(x, y span) int {
		return cmp.Or(cmp.Compare(all[y], all[x]), cmp.Compare(x.start, y.start), cmp.Compare(x.end, y.end))
	})
	var shown []span
	for _, g := range order {
		apart := !slices.ContainsFunc(shown, func(t span) bool { return g.start < t.end && t.start < g.end })
		if apart && len(shown) < shownWords {
			shown = append(shown, g)
		}
	}
	out := make([]Evidence, len(shown))
	for i, g := range shown {
		out[i] = Evidence{ID: modelWords, Weight: sign * all[g], Text: string(norm[g.start:g.end]), Sentence: e.Sentence}
	}
	return out
}
