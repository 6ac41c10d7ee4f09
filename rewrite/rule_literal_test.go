package rewrite

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLiterals(t *testing.T) {
	tests := []struct {
		name, expr string
		want       [][]string
	}{
		{"word", `decline`, [][]string{{"decline"}}},
		{"all parts", `a[b-z]+ longer(d|e)`, [][]string{{" longerd", " longere"}, {"a"}}},
		{"the rarest parts", `(を|は)[^。]*案.*見送`, [][]string{{"見送"}, {"案"}}},
		{"alternatives", `(御中|各位)$`, [][]string{{"各位", "御中"}}},
		{"alternatives with a common beginning", `見(送|合わせ)`, [][]string{{"見合わせ", "見送"}}},
		{"alternatives with more than words", `(ab+|cd+)$`, [][]string{{"a", "c"}}},
		{"repeated", `(ab){2,3}`, [][]string{{"abab", "ababab"}}},
		{"maybe there", `ab?c`, [][]string{{"abc", "ac"}}},
		{"class of few", `^[xy]$`, [][]string{{"x", "y"}}},
		{"nothing certain", `(ab)?c*`, nil},
		{"one alternative is nothing", `ab|`, nil},
		{"upper or lower case", `(?i)ab`, nil},
		{"any character", `.{3,}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := literals(tt.expr); !slices.EqualFunc(got, tt.want, slices.Equal) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzLiterals: where an expression matches, one of its words stands.
func FuzzLiterals(f *testing.F) {
	f.Add(`職($|[^員場業務])`, "営業職です")
	f.Add(`(^|[^a-z])[a-z](候補|氏)(は|が)`, "a氏は")
	f.Add(`there will be no (appointment|hire)[.!]*$`, "there will be no hire.")
	f.Add(`(?i)ab+|(?s:c.)?de`, "xABB")
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := regexp.Compile(expr)
		if err != nil || len(expr) > 200 || len(text) > 400 {
			return
		}
		text = strings.ToValidUTF8(text, "")
		for _, words := range literals(expr) {
			if slices.Contains(words, "") {
				t.Fatalf("%q has the empty word", expr)
			}
			for _, match := range re.FindAllString(text, -1) {
				if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(match, w) }) {
					t.Errorf("%q matches %q without any of %q", expr, match, words)
				}
			}
		}
	})
}
