package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
)

func TestChoose(t *testing.T) {
	w, err := LoadWordings(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name        string
		v           rewrite.Verdict
		family      string
		want, ascii string
	}{
		{"the company's choice", rewrite.Verdict{Kind: rewrite.Rejection, Language: "ja"}, "short", "ja-short", "en-short"},
		{"the rule's choice", rewrite.Verdict{Kind: rewrite.Rejection, Language: "ja", Wording: "warm"}, "short", "ja-warm", "en-short"},
		{"a family the language lacks", rewrite.Verdict{Kind: rewrite.Rejection, Language: "en"}, "warm", "en-standard", ""},
		{"leaver", rewrite.Verdict{Kind: rewrite.Leaver, Language: "ja"}, "short", "ja-leaver", "en-leaver"},
		{"another language", rewrite.Verdict{Kind: rewrite.Rejection, Language: "fr"}, "short", "", ""},
		{"no verdict", rewrite.Verdict{Kind: rewrite.None, Language: "ja"}, "short", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ascii, ok := w.Choose(tt.v, tt.family)
			if got.ID != tt.want || ok != (tt.want != "") || (ascii == nil) != (tt.ascii == "") || ascii != nil && ascii.ID != tt.ascii {
				t.Errorf("Choose = %q, %v, %v; want %q, %q", got.ID, ascii, ok, tt.want, tt.ascii)
			}
		})
	}
}

// TestOwnWordings: a company's file replaces and adds texts, and its mistakes
// are reported in that file.
func TestOwnWordings(t *testing.T) {
	dir := t.TempDir()
	shipped, err := ShippedWordings("ja")
	if err != nil {
		t.Fatal(err)
	}
	load := func(wordings, key string) (*Config, error) {
		if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte(wordings), 0o600); err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(Sample), "    mode: insert", "    wording_files: [own.yaml]\n    "+key+"\n    mode: insert", 1)
		return Parse(filepath.Join(dir, "careerrelay.yaml"), []byte(text))
	}
	v := rewrite.Verdict{Kind: rewrite.Rejection, Language: "ja"}

	c, err := load(strings.ReplaceAll(string(shipped), "ja-short", "ja-ours"), "wording: ours")
	if err != nil {
		t.Fatal(err)
	}
	block, ok := c.Companies[0].Block(Agency{Name: "代理店", NameEN: "Agency Ltd."}, v, "https://a.example/r/t", "https://a.example/o/t")
	if !ok || !strings.Contains(block.Text, "https://a.example/r/t\n") || !strings.Contains(block.Text, "代理店") || strings.Contains(block.Text+block.HTML, "{{") {
		t.Errorf("block = %+v", block)
	}
	if !strings.Contains(block.ASCII, "Agency Ltd.") || !strings.Contains(block.ASCII, "Sample Inc.") || strings.ContainsFunc(block.ASCII, func(r rune) bool { return r > 126 }) {
		t.Errorf("fallback = %q, want ASCII with the Latin names", block.ASCII)
	}
	if files := c.Files(); len(files) != 2 {
		t.Errorf("files to watch = %q", files)
	}
	_, err = load(string(shipped), "wording: loud")
	if err == nil || !strings.Contains(err.Error(), `companies[0].wording: there is no wording "loud"`) {
		t.Errorf("unknown family: %v", err)
	}
	_, err = load(strings.Replace(string(shipped), "\n      {{optout_link}}\n", "\n", 1), "wording: short")
	if err == nil || !strings.Contains(err.Error(), "own.yaml:4:5: wordings[0]: ja-standard: text: placeholder {{optout_link}} is missing") {
		t.Errorf("broken text: %v", err)
	}
	_, err = load("wordings: [{id: short, language: ja, kind: no, text: x, html: y}]", "wording: short")
	if err == nil || !strings.Contains(err.Error(), `"short" does not begin with its language`) || !strings.Contains(err.Error(), `"no" is none of: rejection, leaver`) {
		t.Errorf("broken entry: %v", err)
	}
}
