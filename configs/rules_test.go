package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/careerrelay/careerrelay/rewrite"
)

// loadBuiltin is the rule set of a company that configures nothing.
func loadBuiltin(tb testing.TB) *rewrite.Rules {
	tb.Helper()
	rs, err := LoadRules(BuiltinRules(), ".")
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

func TestBuiltinRules(t *testing.T) {
	if got := strings.Join(BuiltinRules(), " "); got != "builtin:ja builtin:en" {
		t.Errorf("built in are %s", got)
	}
	loadBuiltin(t) // runs every example
	for _, name := range BuiltinRules() {
		if _, err := LoadRules([]string{name}, "."); err != nil {
			t.Errorf("%s does not load alone: %v", name, err)
		}
	}
}

// TestBuiltinRulesHaveExamples keeps every rule that decides explained by
// examples for and against.
func TestBuiltinRulesHaveExamples(t *testing.T) {
	sources, problems := readRuleFiles(BuiltinRules(), ".")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, s := range sources {
		for _, r := range s.file.Rules {
			if !r.Abstract && (len(r.Examples.Yes) == 0 || len(r.Examples.No) == 0) {
				t.Errorf("%s: rule %s has no examples", s.name, r.ID)
			}
		}
	}
}

// TestRulesSchema keeps the schema for editors current.
func TestRulesSchema(t *testing.T) {
	r := reflector(t)
	r.Mapper = func(typ reflect.Type) *jsonschema.Schema {
		if typ == reflect.TypeFor[number]() {
			return &jsonschema.Schema{Type: "number"}
		}
		return schemaOf(typ)
	}
	s := r.Reflect(&RuleFile{})
	s.Title = "Career Relay rules"
	goldenSchema(t, "rules.schema.json", s)
}

// loadText loads one rule file given as text.
func loadText(t testing.TB, text string, more ...string) (*rewrite.Rules, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadRules(append(more, "own.yaml"), dir)
}

const ownRule = `language: ja
rules:
  - id: own
    kind: rejection
    threshold: 1
    evidence:
      - id: no
        score: 1
        any: [採用しません]
`

func TestLoadRulesNamesEveryMistake(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // parts of the message, in order
	}{
		{"unknown key", strings.Replace(ownRule, "threshold", "treshold", 1), []string{"own.yaml:5:5: rules[0].treshold: unknown key", `did you mean "threshold"?`}},
		{"no language", strings.Replace(ownRule, "language: ja\n", "", 1), []string{"language: is missing"}},
		{"kind", strings.Replace(ownRule, "rejection", "no", 1), []string{"own.yaml:4:11: rules[0].kind: \"no\" is no kind", "rejection or leaver"}},
		{"id", strings.Replace(ownRule, "id: own", "id: Own Rule", 1), []string{"own.yaml:3:9: rules[0].id: \"Own Rule\" is no id"}},
		{"score", strings.Replace(ownRule, "score: 1", "score: high", 1), []string{"own.yaml:8:16:", `wants a number from -1000 to 1000, not "high"`}},
		{"no score", strings.Replace(ownRule, "        score: 1\n", "", 1), []string{"own.yaml:7:9: rules[0].evidence[0]: has no score"}},
		{"place", strings.Replace(ownRule, "score: 1", "score: 1\n        in: [body]", 1), []string{"own.yaml:9:14: rules[0].evidence[0].in[0]: \"body\" is no place"}},
		{"model", ownRule + "model: maybe\n", []string{"own.yaml:10:8: model:", "\"maybe\" is no choice", "on or off"}},
		{"evidence that yields", strings.Replace(ownRule, "score: 1", "score: 1\n        unless_model: 2", 1), []string{"own.yaml:9:23:", "is for vetoes"}},
		{"near alone", strings.Replace(ownRule, "score: 1", "score: 1\n        near: 3", 1), []string{"own.yaml:9:15:", "how near same_sentence must be"}},
		{"class", strings.Replace(ownRule, "採用しません", "<refusal>", 1), []string{"own.yaml:9:15: rules[0].evidence[0].any[0]", "class <refusal> is not defined"}},
		{"expression", strings.Replace(ownRule, "採用しません", `"re:("`, 1), []string{"own.yaml:9:15:", "compile the expression"}},
		{"bracket in a class", ownRule + "define:\n  a:\n    - (x|y\n", []string{"own.yaml:12:7: define.a[0]", "a bracket is not closed"}},
		{"veto with score", ownRule + "    veto:\n      - {id: v, score: 1, any: [x]}\n", []string{"own.yaml:11:24:", "a veto has no score"}},
		{"example yes", ownRule + "    examples: {yes: [こんにちは]}\n", []string{"own.yaml:10:22: rules[0].examples.yes[0]: this example is not matched", "nothing was found"}},
		{"example no", ownRule + "    examples: {no: [採用しません]}\n", []string{"this example is matched by its rule and should not be", "score 1, found: no +1"}},
		{"two at once", strings.Replace(strings.Replace(ownRule, "rejection", "no", 1), "score: 1", "score: high", 1), []string{"own.yaml:4:11", "own.yaml:8:16"}},
		{"not YAML", "language: [ja\n", []string{"is not YAML"}},
		{"empty", "", []string{"is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadText(t, tt.text)
			if err == nil {
				t.Fatal("loads")
			}
			rest := err.Error()
			for _, want := range tt.want {
				i := strings.Index(rest, want)
				if i < 0 {
					t.Fatalf("got\n%v\nwant %q in it, in this order", err, want)
				}
				rest = rest[i:]
			}
		})
	}
}

func TestLoadRulesNamesMissingFiles(t *testing.T) {
	_, err := LoadRules([]string{"builtin:xx", "nowhere.yaml"}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), `no built-in rules called "xx"`) || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}

// TestModelOff: what the model alone lets pass is judged by words alone, and by
// nothing where a rule wants the model's consent.
func TestModelOff(t *testing.T) {
	without, err := loadText(t, "language: en\nmodel: off\n", BuiltinRules()...)
	if err != nil {
		t.Fatal(err)
	}
	env := rewrite.Envelope{Recipients: []string{"someone@candidate.example"}}
	plain := &rewrite.Reading{Text: "Thank you for applying for the Data Analyst role. Unfortunately, we will not be moving forward with your application. We wish you every success."}
	weak := &rewrite.Reading{Subject: "PhD position", Text: "I had 80 applicants for one position and have now made my choice. I am sorry that it could not be you."}
	for _, tt := range []struct {
		name          string
		reading       *rewrite.Reading
		with, without rewrite.Kind
	}{{"plain words", plain, rewrite.Rejection, rewrite.Rejection}, {"weak words", weak, rewrite.Rejection, rewrite.None}} {
		if v := loadBuiltin(t).Decide(tt.reading, env); v.Kind != tt.with {
			t.Errorf("%s with the model: %s", tt.name, explain(v))
		}
		if v := without.Decide(tt.reading, env); v.Kind != tt.without {
			t.Errorf("%s without the model: %s", tt.name, explain(v))
		}
	}
}

// TestCompanyRules shows what a company's file can do to the built-in rules.
func TestCompanyRules(t *testing.T) {
	env := rewrite.Envelope{Recipients: []string{"c@example.net"}}
	const usual = "先日は面接にお越しいただきありがとうございました。慎重に検討した結果、残念ながら今回は採用を見送らせていただくこととなりました。"
	tests := []struct {
		name, file, text string
		want             rewrite.Kind
	}{
		{"nothing added", "language: ja\n", usual, rewrite.Rejection},
		{"a word added to a class", "language: ja\ndefine:\n  meta: [社内訓練]\n", usual + "これは社内訓練です。", rewrite.None},
		{"a rule switched off", "language: ja\nrules:\n  - {id: ja-declined, disabled: true}\n", usual, rewrite.None},
		{"a rule replaced", strings.Replace(ownRule, "id: own", "id: ja-declined\n    replace: true", 1), usual, rewrite.None},
		{"a rule of its own", ownRule, "採用しません", rewrite.Rejection},
		{"an address excepted", "language: ja\nexcept:\n  addresses: [c@example.net]\n", usual, rewrite.None},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rs, err := loadText(t, tt.file, "builtin:ja")
			if err != nil {
				t.Fatal(err)
			}
			if v := rs.Decide(&rewrite.Reading{Text: tt.text}, env); v.Kind != tt.want {
				t.Errorf("got %+v, want %s", v, tt.want)
			}
		})
	}
}

// FuzzLoadRules loads anything: an error or rules that decide, never a panic.
func FuzzLoadRules(f *testing.F) {
	f.Add(ownRule)
	f.Add("language: en\ndefine: {a: [<a> … b, (c|d)]}\nrules: [{id: x, kind: leaver, threshold: 1, evidence: [{id: y, score: 2, any: [<a>, re:z]}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseRuleFile("own.yaml", []byte(text))
		if len(s.dec.problems) > 0 || !s.dec.parsed() {
			return
		}
		compiled, err := rewrite.Compile(s.rules())
		if err != nil {
			if ps := places([]*ruleSource{s}, err); len(ps) == 0 || ps.Error() == "" {
				t.Error("an error without a problem")
			}
			return
		}
		compiled.Decide(&rewrite.Reading{Text: text}, rewrite.Envelope{Recipients: []string{"a@example.com"}})
	})
}

// TestRaisedThresholdFailsExamples: a change that makes a built-in rule deaf is
// told at load, by that rule's own examples.
func TestRaisedThresholdFailsExamples(t *testing.T) {
	_, err := loadText(t, "language: ja\nrules:\n  - {id: ja-declined, threshold: 50}\n", "builtin:ja")
	if err == nil || !strings.Contains(err.Error(), "this example is not matched by its rule") {
		t.Errorf("got %v", err)
	}
}

// TestRuleDocs loads every sample of the pages that teach the format, and keeps
// them complete: each key of a rule file is named.
func TestRuleDocs(t *testing.T) {
	for _, page := range []string{"../docs/rules.md", "../docs/rules.ja.md"} {
		src, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		samples := strings.Split(string(src), "```yaml\n")[1:]
		if len(samples) < 3 {
			t.Errorf("%s has only %d samples", page, len(samples))
		}
		for i, s := range samples {
			s, _, _ = strings.Cut(s, "```")
			if _, err := loadText(t, s, BuiltinRules()...); err != nil {
				t.Errorf("%s, sample %d: %v", page, i+1, err)
			}
		}
		for _, typ := range []any{RuleFile{}, RuleEntry{}, ClauseEntry{}, ruleExcept{}} {
			for key := range fieldsOf(reflect.ValueOf(typ)) {
				if !strings.Contains(string(src), key) {
					t.Errorf("%s does not name the key %s", page, key)
				}
			}
		}
	}
}
