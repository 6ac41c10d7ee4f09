package rewrite

import (
	"cmp"
	"slices"
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
	defer rs.release(an)
	vetoed := map[Kind]finding{}
	for _, rule := range rs.rules {
		if _, ok := vetoed[rule.Kind]; ok {
			continue
		}
		if f, ok := rs.firstVeto(an, rule, true); ok {
			vetoed[rule.Kind] = f
		}
	}
	best := Verdict{Kind: None, Reason: ReasonNoRule}
	for _, rule := range rs.rules {
		f, ok := vetoed[rule.Kind]
		v := rs.apply(an, rule, !ok)
		if ok && v.Score > 0 {
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
// examples are checked with. The model is not asked: examples are about words.
// Try is false for a rule that decides nothing.
func (rs *Rules) Try(id string, r *Reading) (Verdict, bool) {
	for _, rule := range rs.rules {
		if rule.ID != id {
			continue
		}
		an := rs.analyse(r)
		defer rs.release(an)
		v := rs.apply(an, rule, false)
		for _, other := range rs.rules {
			if f, ok := rs.firstVeto(an, other, false); ok && other.Kind == rule.Kind {
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

// apply adds up what a rule finds, and asks the model if it is to be asked.
func (rs *Rules) apply(an *analysis, r *compiledRule, ask bool) Verdict {
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
		v.Reason = ReasonNoRule
	case v.Score >= r.Threshold:
		if v.Reason = ""; ask {
			v.Reason = rs.consult(an, r, &v)
		}
	}
	if v.Reason == "" {
		v.Kind = r.Kind
	}
	if v.Reason == ReasonNoRule {
		v.Score = min(v.Score, 0)
	}
	v.Stage = an.stage(r)
	return v
}

func (an *analysis) stage(r *compiledRule) string {
	fs := an.of(r.lex)
	for _, st := range r.stages {
		if fs.said(st.any) {
			return st.id
		}
	}
	return ""
}

// firstVeto is the first veto that is met and does not yield to the model, if
// that is to be asked.
func (rs *Rules) firstVeto(an *analysis, r *compiledRule, ask bool) (finding, bool) {
	for i := range r.veto {
		c := &r.veto[i]
		if found := an.find(r, c); len(found) > 0 && !(ask && rs.yields(an, r, c)) {
			return found[0], true
		}
	}
	return finding{}, false
}

// find is every sentence that meets a clause, up to its maximum. The slice is
// good until the next call.
func (an *analysis) find(r *compiledRule, c *clause) []finding {
	fs := an.of(r.lex)
	for _, class := range c.all {
		if !fs.said(class) {
			return nil
		}
	}
	if fs.said(c.unlessMail) {
		return nil
	}
	out := an.out[:0]
	for anchors := fs.all(c.any); len(anchors) > 0; {
		here := sameSentence(anchors)
		anchors = anchors[len(here):]
		i := int(here[0].sentence)
		sc := &an.sentences[i]
		if !c.looksAt(&sc.statement) || !an.meets(fs, c, here) {
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
	an.out = out
	return out
}

func (c *clause) looksAt(s *statement) bool {
	if len(c.In) == 0 {
		return s.place == InText
	}
	return slices.Contains(c.In, s.place) || s.opening && slices.Contains(c.In, InOpening)
}

// meets reports whether the sentence of the anchors has what the clause asks of it.
func (an *analysis) meets(fs *findings, c *clause, anchors []hit) bool {
	sentence := anchors[0].sentence
	if len(fs.in(sentence, c.unless)) > 0 {
		return false
	}
	for _, anchor := range anchors {
		if (c.Quoted || !anchor.quoted) && an.accompanied(fs, c, anchor) {
			return true
		}
	}
	return false
}

func (an *analysis) accompanied(fs *findings, c *clause, anchor hit) bool {
	for _, class := range c.same {
		near := func(h hit) bool {
			return c.Near == 0 || runesBetween(an.normal(anchor.sentence), anchor.span, h.span) <= c.Near
		}
		if !slices.ContainsFunc(fs.in(anchor.sentence, class), near) {
			return false
		}
	}
	return true
}
