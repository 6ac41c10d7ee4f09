package rewrite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// occurrence is one word found, as the matcher reports it.
type occurrence struct{ word, end int }

func matchAll(words []string, text string) []occurrence {
	var got []occurrence
	newMatcher(words).each([]byte(text), func(word, end int) { got = append(got, occurrence{word, end}) })
	return got
}

// searchAll is the oracle: every word looked for at every place.
func searchAll(words []string, text string) []occurrence {
	var want []occurrence
	for end := 1; end <= len(text); end++ {
		for i, w := range words {
			if strings.HasSuffix(text[:end], w) {
				want = append(want, occurrence{i, end})
			}
		}
	}
	return want
}

func sortOccurrences(o []occurrence) {
	slices.SortFunc(o, func(a, b occurrence) int {
		if a.end != b.end {
			return a.end - b.end
		}
		return a.word - b.word
	})
}

func TestMatcher(t *testing.T) {
	tests := []struct {
		name  string
		words []string
		text  string
	}{
		{"one word", []string{"見送"}, "採用を見送らせて、お見送り"},
		{"a word in a word", []string{"不採用", "採用", "用"}, "不採用となり採用"},
		{"overlapping", []string{"aba", "bab"}, "ababab"},
		{"same bytes, other characters", []string{"あ", "い"}, "ああいう"},
		{"deep fall back", []string{"abcdefgh", "bcdefgx", "cdefgy", "efg"}, "abcdefgy abcdefgx abcdefgh"},
		{"nothing there", []string{"regret"}, "hello"},
		{"no text", []string{"regret"}, ""},
		{"no words", nil, "hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, want := matchAll(tt.words, tt.text), searchAll(tt.words, tt.text)
			sortOccurrences(got)
			sortOccurrences(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// FuzzMatcher compares the matcher with a plain search.
func FuzzMatcher(f *testing.F) {
	f.Add("見送|不採用|採用", "不採用となり、採用を見送")
	f.Add("aba|bab|a", "abababa")
	f.Fuzz(func(t *testing.T, list, text string) {
		if len(list) > 200 || len(text) > 400 {
			return
		}
		words := strings.Split(list, "|")
		slices.Sort(words)
		words = slices.DeleteFunc(slices.Compact(words), func(w string) bool { return w == "" })
		got, want := matchAll(words, text), searchAll(words, text)
		sortOccurrences(got)
		sortOccurrences(want)
		if !slices.Equal(got, want) {
			t.Errorf("words %q in %q: got %v, want %v", words, text, got, want)
		}
	})
}

// BenchmarkMatcher is the promise of the rule language: 10,000 phrases on 30 KB.
func BenchmarkMatcher(b *testing.B) {
	words := make([]string, 0, 10000)
	stems := []string{"採用を", "選考の結果", "誠に残念", "ご期待に", "今回は", "貴意に", "募集は", "面接へ", "unfortunately ", "regret to "}
	for i := range 10000 {
		words = append(words, fmt.Sprintf("%s%d見送", stems[i%len(stems)], i))
	}
	m := newMatcher(words)
	text := []byte(strings.Repeat("先日は面接にお越しいただき誠にありがとうございました。慎重に選考の結果、誠に残念ながら今回は採用を見送らせていただくこととなりました。", 160))[:30<<10]
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		m.each(text, func(int, int) {})
	}
}
