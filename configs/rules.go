package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/careerrelay/careerrelay/rewrite"
)

// shipped holds the rules that are shipped: rules/ja.yaml and rules/en.yaml.
//
//go:embed rules/*.yaml
var shipped embed.FS

// BuiltinNames are the names of the shipped files of rules.
func BuiltinNames() []string { return []string{"builtin:ja", "builtin:en"} }

// BuiltinRules are the shipped rules, compiled.
func BuiltinRules() (*rewrite.Rules, error) { return LoadRules(BuiltinNames()) }

// LoadRules reads files of rules, each a path or builtin:ja or builtin:en, and
// compiles them as one set. A later file extends or overrides an earlier one of
// its language by id. Each rule's own examples are run: a rule that fails one
// does not load. The error is Problems, with every mistake of every file.
func LoadRules(names []string) (*rewrite.Rules, error) {
	set := newRuleSet()
	for _, name := range names {
		src, err := readRules(name)
		if err != nil {
			set.problems = append(set.problems, Problem{File: name, Msg: err.Error(), Hint: unreadRulesHint(name)})
			continue
		}
		set.add(name, src)
	}
	if len(set.problems) > 0 {
		return nil, set.problems
	}
	rules, err := set.compile()
	if len(set.problems) > 0 {
		return nil, set.problems
	}
	return rules, err
}

func readRules(name string) ([]byte, error) {
	if short, ok := strings.CutPrefix(name, builtin); ok {
		src, err := shipped.ReadFile("rules/" + short + ".yaml")
		if err != nil {
			return nil, errors.New("no such built-in rules")
		}
		return src, nil
	}
	src, err := os.ReadFile(name)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("cannot be read: %w", pathErr.Err)
	}
	return src, err
}

func unreadRulesHint(name string) string {
	if strings.HasPrefix(name, builtin) {
		return "known here: " + strings.Join(BuiltinNames(), ", ")
	}
	return "rules are files of YAML, or " + strings.Join(BuiltinNames(), " or ")
}

// ruleFile is a file of rules.
type ruleFile struct {
	// Language of the rules: ja or en.
	Language ruleLanguage `yaml:"language"`
	// Spellings that are replaced before anything is compared.
	Spellings map[string]string `yaml:"spellings"`
	// Word classes, which phrases name as <class>.
	Define map[string][]string `yaml:"define"`
	// What a sentence can say, for or against.
	Signals map[string]signalEntry `yaml:"signals"`
	// What follows from the signals.
	Rules []ruleEntry `yaml:"rules"`
}

type signalEntry struct {
	// What the signal adds to the score; negative speaks against.
	Weight number `yaml:"weight"`
	// Where it is looked for: text, subject, both, from, to, opening, signature, quoted.
	In rulePlace `yaml:"in"`
	// One of these must stand in the sentence.
	Says []string `yaml:"says"`
	// And one of these.
	With []string `yaml:"with"`
	// And none of these.
	Without []string `yaml:"without"`
	// One of these must stand in the sentence or at most `within` sentences away.
	Near   []string `yaml:"near"`
	Within int      `yaml:"within"`
	// The stage of the application that the sentence tells.
	Stage string `yaml:"stage"`
	// Replace the signal of an earlier file instead of extending it.
	Replace bool `yaml:"replace"`
}

type ruleEntry struct {
	ID        string       `yaml:"id"`
	Kind      ruleKind     `yaml:"kind"`
	Wording   string       `yaml:"wording"`
	All       []string     `yaml:"all"`
	Any       []string     `yaml:"any"`
	Also      []string     `yaml:"also"`
	Unless    []string     `yaml:"unless"`
	Threshold number       `yaml:"threshold"`
	Exclude   []string     `yaml:"exclude"`
	Off       bool         `yaml:"off"`
	Examples  ruleExamples `yaml:"examples"`
}

// ruleExamples are texts of mails that the rule must, and must not, match. A
// first line "Subject: …" gives the subject.
type ruleExamples struct {
	Yes []string `yaml:"yes"`
	No  []string `yaml:"no"`
}

// placedExample is an example and where it stands.
type placedExample struct {
	rule, text, file, key string
	at                    mark
	want                  bool
}

// ruleSet is what the files read so far add up to.
type ruleSet struct {
	languages map[string]*ruleFile
	order     []string // languages as they came
	examples  []placedExample
	places    map[string]place // of "ja rule ID" and "ja signal ID"
	sources   map[string][]byte
	problems  Problems
}

type place struct {
	file string
	at   mark
}

func newRuleSet() *ruleSet {
	return &ruleSet{languages: map[string]*ruleFile{}, places: map[string]place{}, sources: map[string][]byte{}}
}

// add reads one file into the set.
func (s *ruleSet) add(name string, src []byte) {
	var f ruleFile
	d := decodeYAML(name, src, &f)
	s.sources[name] = src
	if d.parsed() && f.Language == "" && !d.unread["language"] {
		d.add(d.at[""], "language", "is missing", "say which language the phrases are in: ja or en")
	}
	s.problems = append(s.problems, d.problems.inFile(src)...)
	if len(d.problems) > 0 {
		return
	}
	s.remember(d, &f)
	whole, known := s.languages[string(f.Language)]
	if !known {
		whole = &ruleFile{Language: f.Language, Spellings: map[string]string{}, Define: map[string][]string{}, Signals: map[string]signalEntry{}}
		s.languages[string(f.Language)] = whole
		s.order = append(s.order, string(f.Language))
	}
	whole.merge(&f)
}

// remember keeps where signals, rules and examples stand.
func (s *ruleSet) remember(d *decoder, f *ruleFile) {
	lang := string(f.Language)
	for id := range f.Signals {
		s.places[lang+" signal "+id] = place{d.file, d.at["signals."+id]}
	}
	for i, r := range f.Rules {
		key := fmt.Sprintf("rules[%d]", i)
		s.places[lang+" rule "+r.ID] = place{d.file, d.at[key]}
		for j, text := range r.Examples.Yes {
			k := fmt.Sprintf("%s.examples.yes[%d]", key, j)
			s.examples = append(s.examples, placedExample{r.ID, text, d.file, k, d.at[k], true})
		}
		for j, text := range r.Examples.No {
			k := fmt.Sprintf("%s.examples.no[%d]", key, j)
			s.examples = append(s.examples, placedExample{r.ID, text, d.file, k, d.at[k], false})
		}
	}
}

// merge lets f extend and override what earlier files said.
func (w *ruleFile) merge(f *ruleFile) {
	maps.Copy(w.Spellings, f.Spellings)
	for class, phrases := range f.Define {
		w.Define[class] = append(w.Define[class], phrases...)
	}
	for id, sig := range f.Signals {
		w.Signals[id] = w.Signals[id].extendedBy(sig)
	}
	for _, r := range f.Rules {
		i := slices.IndexFunc(w.Rules, func(old ruleEntry) bool { return old.ID == r.ID })
		if i < 0 {
			w.Rules = append(w.Rules, r)
			continue
		}
		w.Rules[i] = w.Rules[i].extendedBy(r)
	}
}

// extendedBy adds the phrases of a later file; values it gives override.
func (old signalEntry) extendedBy(e signalEntry) signalEntry {
	if e.Replace {
		return e
	}
	e.Weight = override(old.Weight, e.Weight)
	e.In = override(old.In, e.In)
	e.Within = override(old.Within, e.Within)
	e.Stage = override(old.Stage, e.Stage)
	e.Says = slices.Concat(old.Says, e.Says)
	e.With = slices.Concat(old.With, e.With)
	e.Without = slices.Concat(old.Without, e.Without)
	e.Near = slices.Concat(old.Near, e.Near)
	return e
}

// extendedBy adds the signals of a later file; values it gives override.
func (old ruleEntry) extendedBy(e ruleEntry) ruleEntry {
	e.Kind = override(old.Kind, e.Kind)
	e.Wording = override(old.Wording, e.Wording)
	e.Threshold = override(old.Threshold, e.Threshold)
	e.All = slices.Concat(old.All, e.All)
	e.Any = slices.Concat(old.Any, e.Any)
	e.Also = slices.Concat(old.Also, e.Also)
	e.Unless = slices.Concat(old.Unless, e.Unless)
	e.Exclude = slices.Concat(old.Exclude, e.Exclude)
	return e
}

func override[T comparable](old, given T) T {
	var zero T
	if given == zero {
		return old
	}
	return given
}
