package configs

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/careerrelay/careerrelay/rewrite"
)

//go:embed rules/*.yaml
var builtinRules embed.FS

// builtinPrefix marks a rule file that is part of the program, as in builtin:ja.
const builtinPrefix = "builtin:"

// RuleFile is the YAML of one rule file. docs/rules.md teaches it.
type RuleFile struct {
	// Language of the phrases: ja is matched without blanks, every other on word boundaries.
	Language string `yaml:"language" json:"language"`
	// A line that ends so is a sentence of its own, such as 様.
	LineEnds []string `yaml:"line_ends" json:"line_ends,omitempty"`
	// A full stop after these ends no sentence, such as Dr.
	Abbreviations []string `yaml:"abbreviations" json:"abbreviations,omitempty"`
	// Spellings that count as one: variant and the form it is read as.
	Spelling textMap `yaml:"spelling" json:"spelling,omitempty"`
	// Word classes: a name and its phrases. Rules write <name>.
	Define wordMap `yaml:"define" json:"define,omitempty"`
	// Whether the rules may ask the model: on or off; off in one file is off for the company.
	Model string `yaml:"model" json:"model,omitempty" jsonschema:"enum=on,enum=off"`
	// Messages that are never touched.
	Except ruleExcept `yaml:"except" json:"except,omitempty"`
	// The rules. One with the id of a built-in rule adds to it.
	Rules []RuleEntry `yaml:"rules" json:"rules,omitempty"`
}

// RuleEntry is one rule of a file.
type RuleEntry struct {
	// Id of the rule: lower case letters, digits and hyphens. It is a metric label.
	ID string `yaml:"id" json:"id"`
	// What the rule decides: rejection or leaver.
	Kind string `yaml:"kind" json:"kind,omitempty" jsonschema:"enum=rejection,enum=leaver"`
	// Wording family of the block: short, standard or warm; empty for the company's own choice.
	Wording string `yaml:"wording" json:"wording,omitempty" jsonschema:"enum=,enum=short,enum=standard,enum=warm"`
	// Id of a rule whose evidence, vetoes, stages and threshold this one starts from.
	Extends string `yaml:"extends" json:"extends,omitempty"`
	// The rule decides nothing itself; others extend it.
	Abstract bool `yaml:"abstract" json:"abstract,omitempty"`
	// The rule is switched off.
	Disabled bool `yaml:"disabled" json:"disabled,omitempty"`
	// The rule takes the whole place of the one with the same id instead of adding to it.
	Replace bool `yaml:"replace" json:"replace,omitempty"`
	// The sum of scores that decides.
	Threshold number `yaml:"threshold" json:"threshold,omitempty"`
	// The model's log odds from which on the rule decides: above 0 it must agree, below 0 it may
	// only object. Left out, it is not asked.
	Model number `yaml:"model" json:"model,omitempty"`
	// Ids of evidence of which at least one must be found.
	Needs []string `yaml:"needs" json:"needs,omitempty"`
	// What speaks for the kind, with scores; negative ones speak against.
	Evidence []ClauseEntry `yaml:"evidence" json:"evidence,omitempty"`
	// What forbids the kind, whatever the score.
	Veto []ClauseEntry `yaml:"veto" json:"veto,omitempty"`
	// How far the candidate had come, tried in order.
	Stages []stageEntry `yaml:"stages" json:"stages,omitempty"`
	// Texts the rule must and must not decide on. They are run at every load.
	Examples exampleEntry `yaml:"examples" json:"examples,omitempty"`
}

// ClauseEntry is one thing to find.
type ClauseEntry struct {
	// Name of the finding, shown when a verdict is explained.
	ID string `yaml:"id" json:"id"`
	// What each sentence that has it adds.
	Score number `yaml:"score" json:"score,omitempty"`
	// Sentences that count; 1 if left out.
	Max int `yaml:"max" json:"max,omitempty"`
	// Where to look: text, opening, subject, from, to, signature, quoted; text if left out.
	In []string `yaml:"in" json:"in,omitempty" jsonschema:"enum=text,enum=opening,enum=subject,enum=from,enum=to,enum=signature,enum=quoted"`
	// At least one of these phrases or <classes>.
	Any []string `yaml:"any" json:"any"`
	// Each of these in the same sentence.
	SameSentence []string `yaml:"same_sentence" json:"same_sentence,omitempty"`
	// The most characters between the phrase and each of same_sentence.
	Near int `yaml:"near" json:"near,omitempty"`
	// Each of these somewhere in text or subject.
	All []string `yaml:"all" json:"all,omitempty"`
	// None of these in the same sentence.
	Unless []string `yaml:"unless" json:"unless,omitempty"`
	// None of these anywhere in text or subject.
	UnlessMail []string `yaml:"unless_mail" json:"unless_mail,omitempty"`
	// Of a veto: it gives way where the model's log odds are at least this.
	UnlessModel number `yaml:"unless_model" json:"unless_model,omitempty"`
	// Count it between quotation marks too.
	Quoted bool `yaml:"quoted" json:"quoted,omitempty"`
}

type stageEntry struct {
	// Short id of the stage: screening, test, interview, final.
	ID string `yaml:"id" json:"id"`
	// Words that say so.
	Any []string `yaml:"any" json:"any"`
}

type exampleEntry struct {
	// Texts the rule decides on. A first line "Subject: …" is the subject.
	Yes []string `yaml:"yes" json:"yes,omitempty"`
	// Texts it does not.
	No []string `yaml:"no" json:"no,omitempty"`
}

type ruleExcept struct {
	// Recipients, whole addresses.
	Addresses []string `yaml:"addresses" json:"addresses,omitempty"`
	// Domains of recipients, with their subdomains.
	Domains []string `yaml:"domains" json:"domains,omitempty"`
	// Header fields: name, and a word its value contains; "" for any value.
	Headers textMap `yaml:"headers" json:"headers,omitempty"`
}

// number is a score: a decimal number.
type number float64

func (n *number) parse(text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f || f > 1000 || f < -1000 {
		return hinted("such as 2 or 0.5", "wants a number from -1000 to 1000, not %q", text)
	}
	*n = number(f)
	return nil
}

// ruleSource is one loaded file with the places of its values.
type ruleSource struct {
	name string
	src  []byte
	file RuleFile
	dec  *decoder
}

// LoadRules reads and compiles rule files in the order given: builtin:ja,
// builtin:en, or a path (relative to dir). Later files extend or override
// earlier ones by rule id. Every rule's own examples are run. The error is
// Problems with all mistakes of all files.
func LoadRules(names []string, dir string) (*rewrite.Rules, error) {
	sources, problems := readRuleFiles(names, dir)
	if len(problems) > 0 {
		return nil, problems
	}
	var rules []rewrite.Rule
	for _, s := range sources {
		rules = rewrite.Merge(rules, s.rules())
	}
	compiled, err := rewrite.Compile(rules)
	if err != nil {
		return nil, places(sources, err)
	}
	if !modelOff(sources) {
		compiled = compiled.WithModel(builtinModel())
	}
	if problems := runExamples(sources, compiled); len(problems) > 0 {
		return nil, problems
	}
	return compiled, nil
}

func readRuleFiles(names []string, dir string) ([]*ruleSource, Problems) {
	var sources []*ruleSource
	var problems Problems
	for _, name := range names {
		src, err := readRuleFile(name, dir)
		if err != nil {
			problems = append(problems, Problem{File: name, Msg: err.Error(), Hint: "built in are: " + strings.Join(BuiltinRules(), ", ")})
			continue
		}
		s := parseRuleFile(name, src)
		sources = append(sources, s)
		problems = append(problems, s.dec.problems.inFile(src)...)
	}
	return sources, problems
}

// BuiltinRules are the names of the rule files in the program.
func BuiltinRules() []string {
	entries, err := builtinRules.ReadDir("rules")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	var names []string
	for _, e := range slices.Backward(entries) { // Japanese first
		names = append(names, builtinPrefix+strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

func readRuleFile(name, dir string) ([]byte, error) {
	if id, ok := strings.CutPrefix(name, builtinPrefix); ok {
		src, err := builtinRules.ReadFile(path.Join("rules", path.Base(id)+".yaml"))
		if err != nil {
			return nil, fmt.Errorf("there are no built-in rules called %q", id)
		}
		return src, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	return src, nil
}

// parseRuleFile decodes one file and checks what needs no other file.
func parseRuleFile(name string, src []byte) *ruleSource {
	s := &ruleSource{name: name, src: src}
	s.dec = decodeYAML(name, src, &s.file)
	if s.dec.parsed() {
		s.check()
	}
	return s
}

func (s *ruleSource) fail(key, msg, hint string) {
	at := s.dec.at[key]
	for up := key; at == (mark{}) && up != ""; { // a key that is left out: its parent
		up = parent(up)
		at = s.dec.at[up]
	}
	s.dec.add(at, key, msg, hint)
}

func (s *ruleSource) check() {
	if s.file.Language == "" {
		s.fail("language", "is missing", "such as language: ja")
	}
	if !slices.Contains([]string{"", "on", "off"}, s.file.Model) {
		s.fail("model", fmt.Sprintf("%q is no choice", s.file.Model), "on or off")
	}
	for i, r := range s.file.Rules {
		key := fmt.Sprintf("rules[%d]", i)
		if !idForm.MatchString(r.ID) {
			s.fail(key+".id", fmt.Sprintf("%q is no id", r.ID), "lower case letters, digits and hyphens, at most 32")
		}
		if r.Kind != "" && r.Kind != string(rewrite.Rejection) && r.Kind != string(rewrite.Leaver) {
			s.fail(key+".kind", fmt.Sprintf("%q is no kind", r.Kind), "rejection or leaver")
		}
		s.checkClauses(key+".evidence", r.Evidence, true)
		s.checkClauses(key+".veto", r.Veto, false)
	}
}

func (s *ruleSource) checkClauses(key string, clauses []ClauseEntry, scored bool) {
	ids := map[string]bool{}
	for i, c := range clauses {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case c.ID == "":
			s.fail(at, "has no id", "the id names the finding when a verdict is explained")
		case ids[c.ID]:
			s.fail(at+".id", fmt.Sprintf("%q is used twice in this list", c.ID), "")
		}
		ids[c.ID] = true
		if scored && c.Score == 0 {
			s.fail(at, "has no score, so it changes nothing", "write score: with a number, or remove the entry")
		}
		if !scored && c.Score != 0 {
			s.fail(at+".score", "a veto has no score: it forbids", "move it to evidence with a negative score to weigh it")
		}
		if c.UnlessModel != 0 && (scored || c.UnlessModel < 0) {
			s.fail(at+".unless_model", "is for vetoes, and above 0", "")
		}
		if c.Near != 0 && len(c.SameSentence) == 0 {
			s.fail(at+".near", "says how near same_sentence must be, and there is none", "")
		}
		for j, place := range c.In {
			if !slices.Contains(rewrite.Places(), rewrite.Place(place)) {
				s.fail(fmt.Sprintf("%s.in[%d]", at, j), fmt.Sprintf("%q is no place", place), "text, opening, subject, from, to, signature or quoted")
			}
		}
	}
}

// rules converts the file. What holds for the whole file goes with a rule of its
// own that decides nothing, so that a file may add words alone.
func (s *ruleSource) rules() []rewrite.Rule {
	f := s.file
	out := []rewrite.Rule{{
		ID: s.name, Language: f.Language, Abstract: true,
		Define: f.Define, Spelling: f.Spelling, LineEnds: f.LineEnds, Abbreviations: f.Abbreviations,
		Except: rewrite.Except{Addresses: f.Except.Addresses, Domains: f.Except.Domains, Headers: f.Except.Headers},
	}}
	for _, r := range f.Rules {
		rule := rewrite.Rule{
			ID: r.ID, Kind: rewrite.Kind(r.Kind), Language: f.Language, Wording: r.Wording, Extends: r.Extends,
			Abstract: r.Abstract, Disabled: r.Disabled, Replace: r.Replace,
			Threshold: float64(r.Threshold), Model: float64(r.Model), Needs: r.Needs, Evidence: clauses(r.Evidence), Veto: clauses(r.Veto),
			Examples: rewrite.Examples{Yes: r.Examples.Yes, No: r.Examples.No},
		}
		for _, st := range r.Stages {
			rule.Stages = append(rule.Stages, rewrite.Stage{ID: st.ID, Any: st.Any})
		}
		out = append(out, rule)
	}
	return out
}

func clauses(entries []ClauseEntry) []rewrite.Clause {
	var out []rewrite.Clause
	for _, e := range entries {
		c := rewrite.Clause{
			ID: e.ID, Score: float64(e.Score), Max: e.Max, Any: e.Any, SameSentence: e.SameSentence, Near: e.Near,
			All: e.All, Unless: e.Unless, UnlessMail: e.UnlessMail, Quoted: e.Quoted, UnlessModel: float64(e.UnlessModel),
		}
		for _, place := range e.In {
			c.In = append(c.In, rewrite.Place(place))
		}
		out = append(out, c)
	}
	return out
}

// places turns the mistakes that only showed when all files came together into
// problems at the places where they were written.
func places(sources []*ruleSource, err error) Problems {
	bySource := map[*ruleSource]Problems{}
	var elsewhere Problems
	for _, e := range unjoin(err) {
		re, ok := errors.AsType[*rewrite.RuleError](e)
		if !ok {
			elsewhere = append(elsewhere, Problem{Msg: e.Error()})
			continue
		}
		s, key := locate(sources, re)
		if s == nil {
			elsewhere = append(elsewhere, Problem{Msg: e.Error()})
			continue
		}
		at := s.dec.at[key]
		bySource[s] = append(bySource[s], Problem{File: s.name, Line: at.line, Column: at.column, Key: key, Msg: message(re)})
	}
	var out Problems
	for _, s := range sources {
		out = append(out, bySource[s].inFile(s.src)...)
	}
	return append(out, elsewhere...)
}

func message(e *rewrite.RuleError) string {
	if e.Phrase == "" {
		return e.Msg
	}
	return fmt.Sprintf("%q: %s", e.Phrase, e.Msg)
}

func unjoin(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// locate finds the value that a mistake is about: the phrase, or else the rule.
// Later files are searched first: they are the admin's.
func locate(sources []*ruleSource, e *rewrite.RuleError) (*ruleSource, string) {
	for _, s := range slices.Backward(sources) {
		for i, r := range s.file.Rules {
			key := fmt.Sprintf("rules[%d]", i)
			if r.ID != e.Rule {
				continue
			}
			if at, ok := s.phrase(key, e.Phrase); ok {
				return s, at
			}
			if e.Phrase == "" {
				return s, key
			}
		}
		if at, ok := s.phrase("define", e.Phrase); ok && s.name == e.Rule {
			return s, at
		}
	}
	return nil, ""
}

// phrase finds a text below a key: each list of phrases has its place.
func (s *ruleSource) phrase(below, text string) (string, bool) {
	if text == "" {
		return "", false
	}
	found, ok := "", false
	s.eachList(func(key string, phrases []string) {
		i := slices.Index(phrases, text)
		if i >= 0 && !ok && strings.HasPrefix(key, below) {
			found, ok = fmt.Sprintf("%s[%d]", key, i), true
		}
	})
	return found, ok
}

// eachList visits every list of phrases with its key.
func (s *ruleSource) eachList(visit func(key string, phrases []string)) {
	for name, phrases := range s.file.Define {
		visit(join("define", name), phrases)
	}
	for i, r := range s.file.Rules {
		key := fmt.Sprintf("rules[%d]", i)
		visit(key+".needs", r.Needs)
		for _, list := range []struct {
			name    string
			clauses []ClauseEntry
		}{{"evidence", r.Evidence}, {"veto", r.Veto}} {
			for j, c := range list.clauses {
				at := fmt.Sprintf("%s.%s[%d]", key, list.name, j)
				visit(at+".any", c.Any)
				visit(at+".same_sentence", c.SameSentence)
				visit(at+".all", c.All)
				visit(at+".unless", c.Unless)
				visit(at+".unless_mail", c.UnlessMail)
			}
		}
		for j, st := range r.Stages {
			visit(fmt.Sprintf("%s.stages[%d].any", key, j), st.Any)
		}
	}
}

// runExamples reports every example that a rule does not live up to. A rule that
// a later file replaces as a whole takes its examples with it.
func runExamples(sources []*ruleSource, compiled *rewrite.Rules) Problems {
	var problems Problems
	for n, s := range sources {
		var own Problems
		for i, r := range s.file.Rules {
			if !replaced(sources[n+1:], r.ID) {
				own = append(own, s.tryExamples(fmt.Sprintf("rules[%d].examples", i), r, compiled)...)
			}
		}
		problems = append(problems, own.inFile(s.src)...)
	}
	return problems
}

func replaced(later []*ruleSource, id string) bool {
	return slices.ContainsFunc(later, func(s *ruleSource) bool {
		return slices.ContainsFunc(s.file.Rules, func(r RuleEntry) bool { return r.ID == id && r.Replace })
	})
}

// tryExamples runs the examples of one rule; one that is switched off has none.
func (s *ruleSource) tryExamples(key string, r RuleEntry, compiled *rewrite.Rules) Problems {
	var problems Problems
	for j, text := range r.Examples.Yes {
		if v, ok := compiled.Try(r.ID, example(text)); ok && v.Kind == rewrite.None {
			problems = append(problems, s.failedExample(fmt.Sprintf("%s.yes[%d]", key, j), "is not matched by its rule", v))
		}
	}
	for j, text := range r.Examples.No {
		if v, ok := compiled.Try(r.ID, example(text)); ok && v.Kind != rewrite.None {
			problems = append(problems, s.failedExample(fmt.Sprintf("%s.no[%d]", key, j), "is matched by its rule and should not be", v))
		}
	}
	return problems
}

func (s *ruleSource) failedExample(key, what string, v rewrite.Verdict) Problem {
	at := s.dec.at[key]
	found := make([]string, 0, len(v.Evidence))
	for _, e := range v.Evidence {
		found = append(found, fmt.Sprintf("%s %+g", e.ID, e.Weight))
	}
	hint := "nothing was found in it"
	if len(found) > 0 {
		hint = fmt.Sprintf("score %g, found: %s", v.Score, strings.Join(found, ", "))
	}
	return Problem{File: s.name, Line: at.line, Column: at.column, Key: key, Msg: "this example " + what, Hint: hint}
}

// example reads an example text: a first line "Subject: …" is the subject.
func example(text string) *rewrite.Reading {
	r := &rewrite.Reading{Text: text}
	if line, rest, ok := strings.Cut(text, "\n"); ok {
		if subject, ok := strings.CutPrefix(line, "Subject:"); ok {
			r.Subject, r.Text = strings.TrimSpace(subject), rest
		}
	}
	return r
}
