package rewrite

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// smallRules is a rule set that shows every part of the language.
func smallRules() []Rule {
	return []Rule{
		{
			ID: "words", Language: "ja", Abstract: true,
			Define:   map[string][]string{"refuse": {"見送(らせ|ること|り)", "不採用"}, "job": {"採用", "面接"}, "declined": {"<job> … <refuse>", "不採用と"}},
			Spelling: map[string]string{"頂き": "いただき", "添": "沿"},
			LineEnds: []string{"様"},
		},
		{
			ID: "base", Kind: Rejection, Language: "ja", Abstract: true, Threshold: 3,
			Veto: []Clause{{ID: "next", Any: []string{"お越しください"}}, {ID: "if_subject", Any: []string{"案内"}, In: []Place{InSubject}}},
		},
		{
			ID: "declined", Extends: "base", Needs: []string{"no"}, Wording: "warm",
			Evidence: []Clause{
				{ID: "no", Score: 2, Any: []string{"<declined>"}, Unless: []string{"場合"}},
				{ID: "regret", Score: 1, Any: []string{"残念", "沿えず"}},
				{ID: "near", Score: 1, Any: []string{"理由"}, SameSentence: []string{"答え"}, Near: 4},
			},
			Stages: []Stage{{ID: "interview", Any: []string{"面接"}}},
		},
		{
			ID: "en", Kind: Rejection, Language: "en", Threshold: 2, Needs: []string{"no"},
			Spelling: map[string]string{"won't": "will not"},
			Evidence: []Clause{{ID: "no", Score: 2, Any: []string{"not … (move|moving) forward", "re:declin(e|ed) your (cv|application)", "reject*"}, UnlessMail: []string{"tender"}}},
		},
	}
}

func testRules(tb testing.TB) *Rules {
	tb.Helper()
	rs, err := Compile(smallRules())
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

var candidate = Envelope{Recipients: []string{"c@mail.example.com"}, OwnDomains: []string{"example.co.jp"}}

func TestDecide(t *testing.T) {
	rs := testRules(t)
	tests := []struct {
		name   string
		r      Reading
		kind   Kind
		rule   string
		reason string
	}{
		{"class, gap and score", Reading{Text: "残念ですが、採用は今回見送らせて頂きます。"}, Rejection, "declined", ""},
		{"wrapped inside a word", Reading{Text: "残念ですが、採用は今回見送\nらせて頂きます。"}, Rejection, "declined", ""},
		{"below the threshold", Reading{Text: "採用は今回見送らせて頂きます。"}, None, "declined", ReasonBelowThreshold},
		{"spelling", Reading{Text: "採用を見送った。ご希望に添えず"}, None, "", ReasonNoRule},
		{"spelling counts as one", Reading{Text: "採用を見送ることとします。ご希望に添えず"}, Rejection, "declined", ""},
		{"conditional", Reading{Text: "残念ですが、採用を見送り となる場合があります。"}, None, "", ReasonNoRule},
		{"quoted", Reading{Text: "残念ですが「採用を見送ることとしました」という文面です。"}, None, "", ReasonNoRule},
		{"veto", Reading{Text: "残念ですが採用を見送ることとしました。別の面接にお越しください。"}, None, "declined", ReasonContrary},
		{"veto in the subject", Reading{Subject: "面接のご案内", Text: "残念ですが採用を見送ることとしました。"}, None, "declined", ReasonContrary},
		{"words in two sentences do not meet", Reading{Text: "残念です。採用の件です。花を見送りました。"}, None, "", ReasonNoRule},
		{"near enough", Reading{Text: "採用を見送ることとしました。理由は答えません。"}, Rejection, "declined", ""},
		{"not near enough", Reading{Text: "採用を見送ることとしました。理由は大変恐縮ですが答えません。"}, None, "declined", ReasonBelowThreshold},
		{"English, gap", Reading{Text: "We are not going to be moving\nforward."}, Rejection, "en", ""},
		{"contraction", Reading{Text: "We won’t move forward."}, Rejection, "en", ""},
		{"regular expression", Reading{Text: "We declined your CV."}, Rejection, "en", ""},
		{"rest of a word", Reading{Text: "You were rejected."}, Rejection, "en", ""},
		{"not inside a word", Reading{Text: "The knot: move forwards."}, None, "", ReasonNoRule},
		{"unless in the mail", Reading{Subject: "Tender 5", Text: "We won't move forward."}, None, "", ReasonNoRule},
		{"no text", Reading{Text: " \n"}, None, "", ReasonNoText},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := rs.Decide(&tt.r, candidate)
			if v.Kind != tt.kind || v.Reason != tt.reason || tt.rule != "" && v.Rule != tt.rule {
				t.Errorf("got %+v, want kind %s rule %s reason %s", v, tt.kind, tt.rule, tt.reason)
			}
		})
	}
}

func TestVerdictExplainsItself(t *testing.T) {
	v := testRules(t).Decide(&Reading{Text: "面接のお礼です。残念ですが、採用を見送ることとしました。"}, candidate)
	if v.Stage != "interview" || v.Wording != "warm" || v.Language != "ja" || v.Score != 3 {
		t.Errorf("got %+v", v)
	}
	sum := 0.0
	for _, e := range v.Evidence {
		sum += e.Weight
		if e.Text == "" || e.Sentence != 1 {
			t.Errorf("evidence %+v names no sentence", e)
		}
	}
	if sum != v.Score {
		t.Errorf("evidence adds up to %g, score is %g", sum, v.Score)
	}
}

func TestGuards(t *testing.T) {
	rules := smallRules()
	rules[0].Except = Except{Addresses: []string{"vip@example.net"}, Domains: []string{"agency.example"}, Headers: map[string]string{"X-Class": "internal"}}
	rs, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	header := func(name, value string) Reading {
		return Reading{Header: map[string][]string{name: {value}}}
	}
	to := func(rcpts ...string) Envelope {
		return Envelope{Recipients: rcpts, OwnDomains: []string{"example.co.jp"}}
	}
	one := to("c@mail.example.com")
	tests := []struct {
		name   string
		r      Reading
		env    Envelope
		reason string
	}{
		{"one candidate", Reading{}, one, ""},
		{"own address beside", Reading{}, to("c@mail.example.com", "hr@example.co.jp"), ""},
		{"the same twice", Reading{}, to("c@mail.example.com", "C@mail.example.com"), ""},
		{"all own", Reading{}, to("hr@example.co.jp", "x@sub.example.co.jp"), ReasonNoCandidate},
		{"own in upper case", Reading{}, to("HR@EXAMPLE.CO.JP"), ReasonNoCandidate},
		{"a domain that only ends alike", Reading{}, to("hr@notexample.co.jp"), ""},
		{"nobody", Reading{}, to(), ReasonNoCandidate},
		{"two candidates", Reading{}, to("a@example.com", "b@example.com"), ReasonSeveral},
		{"skip header", header("X-Career-Relay", "Skip"), one, ReasonSkip},
		{"auto-reply", header("Auto-Submitted", "auto-replied"), one, ReasonAutoReply},
		{"generated by an applicant system", header("Auto-Submitted", "auto-generated"), one, ""},
		{"bulk letter to one person", header("List-Unsubscribe", "<https://x.example>"), one, ""},
		{"mailing list", header("Precedence", "list"), one, ReasonList},
		{"list post", header("List-Post", "<mailto:l@example.com>"), one, ReasonList},
		{"excepted address", Reading{}, to("VIP@example.net"), ReasonExcluded},
		{"excepted domain", Reading{}, to("a@tokyo.agency.example"), ReasonExcluded},
		{"excepted header", header("X-Class", "Internal use"), one, ReasonExcluded},
		{"forwarded", Reading{Forwarded: true}, one, ReasonForwarded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Text += "残念ですが、採用を見送ることとしました。"
			if v := rs.Decide(&tt.r, tt.env); v.Reason != tt.reason || (v.Kind == Rejection) != (tt.reason == "") {
				t.Errorf("got %+v, want reason %q", v, tt.reason)
			}
		})
	}
}

func TestCompileNamesEveryMistake(t *testing.T) {
	good := Clause{ID: "no", Score: 1, Any: []string{"x"}}
	tests := []struct {
		name string
		rule Rule
		want string
	}{
		{"kind", Rule{Kind: "maybe", Language: "ja", Threshold: 1, Evidence: []Clause{good}}, `kind "maybe"`},
		{"language", Rule{Kind: Rejection, Threshold: 1, Evidence: []Clause{good}}, "has no language"},
		{"threshold", Rule{Kind: Rejection, Language: "ja", Evidence: []Clause{good}}, "threshold"},
		{"no evidence", Rule{Kind: Rejection, Language: "ja", Threshold: 1}, "has no evidence"},
		{"unknown need", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Needs: []string{"y"}, Evidence: []Clause{good}}, "needs evidence"},
		{"unknown base", Rule{Extends: "z", Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{good}}, `extends "z"`},
		{"no phrases", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Score: 1}}}, "no phrases"},
		{"open bracket", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Any: []string{"(a|b"}}}}, "bracket is not closed"},
		{"unknown class", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Any: []string{"<a> … b"}}}}, "class <a> is not defined"},
		{"empty gap", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Any: []string{"a …"}}}}, "both sides of a gap"},
		{"bad expression", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Any: []string{"re:("}}}}, "compile the expression"},
		{"empty phrase", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Any: []string{" "}}}}, "is empty"},
		{"class of itself", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Define: map[string][]string{"a": {"<a> … b"}}, Evidence: []Clause{good}}, "refers to itself"},
		{"explosion", Rule{Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Any: []string{strings.Repeat("(a|b)", 13)}}}}, "multiply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.ID = "r"
			_, err := Compile([]Rule{tt.rule})
			var re *RuleError
			if !errors.As(err, &re) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err := Compile([]Rule{{ID: "a", Kind: "x", Language: "ja"}, {ID: "a", Kind: "y", Language: "ja"}})
	if n := strings.Count(err.Error(), "\n"); n < 5 {
		t.Errorf("got %d mistakes, want all at once:\n%v", n+1, err)
	}
}

func TestExpand(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"見送(り|ること)", []string{"見送り", "見送ること"}},
		{"(a|)b", []string{"ab", "b"}},
		{"a(b(c|d)|e)", []string{"abc", "abd", "ae"}},
		{"(a)", []string{"a"}},
		{"plain", []string{"plain"}},
	}
	for _, tt := range tests {
		if got, err := expand(tt.in); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	base := smallRules()
	over := []Rule{
		{ID: "declined", Threshold: 9, Evidence: []Clause{{ID: "regret", Score: 5, Any: []string{"無念"}}, {ID: "own", Score: 1, Any: []string{"x"}}}},
		{ID: "en", Disabled: true},
		{ID: "words", Define: map[string][]string{"refuse": {"おことわり"}}},
		{ID: "ours", Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Score: 1, Any: []string{"サヨナラ"}}}},
	}
	merged := Merge(base, over)
	rs, err := Compile(merged)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"採用はおことわり。無念です。無念。x":     "",     // 2 + 5 + 1 is below 9
		"We won't move forward.": "",     // switched off
		"サヨナラ":                   "ours", // added
	} {
		if v := rs.Decide(&Reading{Text: text}, candidate); (v.Kind == Rejection) != (want != "") || want != "" && v.Rule != want {
			t.Errorf("%s: got %+v, want rule %q", text, v, want)
		}
	}
	if len(base[2].Evidence) != 3 || base[2].Threshold != 0 {
		t.Error("the built-in rules were changed")
	}
	replaced := Merge(base, []Rule{{ID: "declined", Replace: true, Kind: Rejection, Language: "ja", Threshold: 1, Evidence: []Clause{{ID: "a", Score: 1, Any: []string{"x"}}}}})
	if len(replaced[2].Evidence) != 1 {
		t.Errorf("got %+v, want the rule replaced", replaced[2])
	}
}
