package rewrite

import (
	"cmp"
	"slices"
)

// Decide tells what the message is and why. The guards on who it goes to come
// first: they need no rule and explain themselves by their reason.
func (rs *Rules) Decide(r *Reading, env Envelope) Verdict {
	if reason := guard(r, env); reason != "" {
		return Verdict{Kind: None, Reason: reason}
	}
	return rs.judge(rs.find(r), env)
}

// judge lets every rule speak. A rule that is forbidden by contrary evidence
// silences the other rules of its kind: a bilingual mail that invites in one
// language is no rejection in the other. The best match wins; without one, the
// best near miss explains itself.
func (rs *Rules) judge(f *findings, env Envelope) Verdict {
	best := Verdict{Kind: None, Reason: "no_rule"}
	var matched []Verdict
	forbidden := map[Kind]bool{}
	for i := range rs.rules {
		v, outcome := rs.rules[i].judge(f, env)
		switch outcome {
		case matches:
			matched = append(matched, v)
		case contrary:
			forbidden[v.Kind] = true
			best = better(best, asNone(v, "contrary"))
		case excluded:
			best = better(best, asNone(v, "excluded"))
		case nearMiss:
			best = better(best, asNone(v, "no_rule"))
		}
	}
	for _, v := range matched {
		if forbidden[v.Kind] {
			continue
		}
		if best.Kind == None || v.Score > best.Score {
			best = v
		}
	}
	return best
}

func asNone(v Verdict, reason string) Verdict {
	v.Kind, v.Reason = None, reason
	return v
}

// better prefers contrary evidence, then the higher score.
func better(a, b Verdict) Verdict {
	if a.Reason != b.Reason && a.Rule != "" {
		if a.Reason == "contrary" {
			return a
		}
		if b.Reason == "contrary" {
			return b
		}
	}
	if b.Score > a.Score || a.Rule == "" {
		return b
	}
	return a
}

type outcome uint8

const (
	silent outcome = iota
	nearMiss
	matches
	contrary
	excluded
)

// judge applies one rule to what was found.
func (r *compiledRule) judge(f *findings, env Envelope) (Verdict, outcome) {
	v := Verdict{Kind: r.Kind, Rule: r.ID, Language: r.Language, Wording: r.Wording}
	needed := true
	for _, s := range r.all {
		needed = f.weigh(&v, s) && needed
	}
	anyFound := f.weighStrongest(&v, r.any) || len(r.any) == 0
	for _, s := range r.also {
		f.weigh(&v, s)
	}
	against := false
	for _, s := range r.unless {
		against = f.weigh(&v, s) || against
	}
	slices.SortStableFunc(v.Evidence, byPlace)
	v.Stage = r.stage(f)
	switch {
	case !needed || !anyFound:
		if len(v.Evidence) == 0 {
			return v, silent
		}
		return v, nearMiss
	case against:
		return v, contrary
	case v.Score < r.Threshold:
		return v, nearMiss
	case r.excludes(env):
		return v, excluded
	}
	return v, matches
}

// stage is that of the first signal, in the order of the rule, that was found.
func (r *compiledRule) stage(f *findings) string {
	for _, s := range r.stages {
		if f.found[s].ok {
			return f.rs.signals[s].Stage
		}
	}
	return ""
}

// weigh adds signal s to the verdict, if it was found.
func (f *findings) weigh(v *Verdict, s int) bool {
	hit := f.found[s]
	if !hit.ok {
		return false
	}
	sig := &f.rs.signals[s]
	where := f.sentences[hit.sentence]
	v.Score += sig.Weight
	v.Evidence = append(v.Evidence, Evidence{ID: sig.ID, Weight: sig.Weight, Text: where.raw, Sentence: where.index})
	return true
}

// weighStrongest adds the strongest of the signals that were found; the others
// are named too, but do not add to the score: they are other words for the same.
func (f *findings) weighStrongest(v *Verdict, signals []int) bool {
	strongest := -1
	for _, s := range signals {
		if f.found[s].ok && (strongest < 0 || f.rs.signals[s].Weight > f.rs.signals[strongest].Weight) {
			strongest = s
		}
	}
	for _, s := range signals {
		if f.weigh(v, s) && s != strongest {
			v.Score -= f.rs.signals[s].Weight
			v.Evidence[len(v.Evidence)-1].Weight = 0
		}
	}
	return strongest >= 0
}

func byPlace(a, b Evidence) int { return cmp.Compare(a.Sentence, b.Sentence) }
