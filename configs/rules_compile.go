package configs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/careerrelay/careerrelay/rewrite"
)

// number is a weight or a threshold.
type number float64

func (n *number) parse(text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < -100 || f > 100 {
		return fmt.Errorf("wants a number from -100 to 100, not %q", text)
	}
	*n = number(f)
	return nil
}

type ruleLanguage string

func (l *ruleLanguage) parse(text string) error {
	return parseChoice(l, text, "ja", "en")
}

type ruleKind string

func (k *ruleKind) parse(text string) error {
	return parseChoice(k, text, string(rewrite.Rejection), string(rewrite.Leaver))
}

type rulePlace string

func (p *rulePlace) parse(text string) error {
	return parseChoice(p, text, "text", "subject", "both", "from", "to", "opening", "signature", "quoted")
}

// parseChoice takes one of a few words.
func parseChoice[T ~string](v *T, text string, choices ...string) error {
	if !slices.Contains(choices, text) {
		return hinted("write one of: "+strings.Join(choices, ", "), "%q is not known here", text)
	}
	*v = T(text)
	return nil
}

// rules converts the set into the rules of package rewrite.
func (s *ruleSet) rules() []rewrite.Rule {
	var out []rewrite.Rule
	for _, lang := range s.order {
		whole := s.languages[lang]
		var signals []rewrite.Signal
		for _, id := range slices.Sorted(maps.Keys(whole.Signals)) {
			signals = append(signals, whole.Signals[id].signal(id))
		}
		for _, r := range whole.Rules {
			if !r.Off {
				out = append(out, r.rule(whole, signals))
			}
		}
	}
	return out
}

func (e signalEntry) signal(id string) rewrite.Signal {
	in := rewrite.Where(e.In)
	if e.In == "text" {
		in = rewrite.InText
	}
	return rewrite.Signal{
		ID: id, Weight: float64(e.Weight), Where: in, Says: e.Says, With: e.With,
		Without: e.Without, Near: e.Near, Within: e.Within, Stage: e.Stage,
	}
}

func (e ruleEntry) rule(f *ruleFile, signals []rewrite.Signal) rewrite.Rule {
	return rewrite.Rule{
		ID: e.ID, Kind: rewrite.Kind(e.Kind), Language: string(f.Language), Wording: e.Wording,
		Signals: signals, All: e.All, Any: e.Any, Also: e.Also, Unless: e.Unless,
		Threshold: float64(e.Threshold), Spellings: f.Spellings, Classes: f.Define, Exclude: e.Exclude,
	}
}

// compile compiles the set and runs the examples of its rules.
func (s *ruleSet) compile() (*rewrite.Rules, error) {
	rules := s.rules()
	compiled, err := rewrite.Compile(rules)
	if err != nil {
		s.blame(rules, err)
		return nil, err
	}
	off := map[string]bool{}
	for _, whole := range s.languages {
		for _, r := range whole.Rules {
			off[r.ID] = r.Off
		}
	}
	for _, e := range s.examples {
		if !off[e.rule] {
			s.run(compiled, e)
		}
	}
	return compiled, nil
}

// blame turns the mistakes of Compile into problems at their place.
func (s *ruleSet) blame(rules []rewrite.Rule, err error) {
	var list []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	said := map[string]bool{}
	for _, err := range list {
		wrong, ok := errors.AsType[*rewrite.RuleError](err)
		if !ok || said[wrong.Signal+wrong.Err.Error()] {
			continue // rules of a language share their signals: say it once
		}
		said[wrong.Signal+wrong.Err.Error()] = true
		lang := ""
		for _, r := range rules {
			if r.ID == wrong.Rule {
				lang = r.Language
			}
		}
		where, key := s.places[lang+" rule "+wrong.Rule], "rules: "+wrong.Rule
		if wrong.Signal != "" {
			where, key = s.places[lang+" signal "+wrong.Signal], "signals."+wrong.Signal
		}
		s.report(where.file, where.at, key, wrong.Err.Error(), "")
	}
}

func (s *ruleSet) report(file string, at mark, key, msg, hint string) {
	p := Problems{{File: file, Line: at.line, Column: at.column, Key: key, Msg: msg, Hint: hint}}
	s.problems = append(s.problems, p.inFile(s.sources[file])...)
}

// run checks one example of a rule.
func (s *ruleSet) run(rules *rewrite.Rules, e placedExample) {
	v := rules.Decide(exampleReading(e.text), rewrite.Envelope{Recipients: []string{"candidate@example.net"}})
	got := v.Rule == e.rule && v.Kind != rewrite.None
	if got == e.want {
		return
	}
	msg := "the rule does not match its example"
	if got {
		msg = "the rule matches an example it must not match"
	}
	s.report(e.file, e.at, e.key, msg, "what was found: "+explain(v))
}

// explain lists what spoke for and against.
func explain(v rewrite.Verdict) string {
	parts := []string{fmt.Sprintf("%s, score %g", v.Kind, v.Score)}
	if v.Reason != "" {
		parts[0] += " (" + v.Reason + ")"
	}
	for _, e := range v.Evidence {
		parts = append(parts, fmt.Sprintf("%s %+g", e.ID, e.Weight))
	}
	return strings.Join(parts, "; ")
}

// exampleReading is a mail with the text of an example.
func exampleReading(text string) *rewrite.Reading {
	r := &rewrite.Reading{Text: text}
	if first, rest, ok := strings.Cut(text, "\n"); ok {
		if subject, ok := strings.CutPrefix(first, "Subject: "); ok {
			r.Subject, r.Text = subject, rest
		}
	}
	return r
}
