package rewrite

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

type found struct {
	literal    int32
	start, end int
}

func scanAll(literals []string, text string) []found {
	var out []found
	newMatcher(literals).scan(text, func(l int32, start, end int) { out = append(out, found{l, start, end}) })
	return out
}

// indexAll is the oracle: every occurrence by strings.Index, ordered by end and
// then by start, as the matcher reports them.
func indexAll(literals []string, text string) []found {
	var out []found
	for id, l := range literals {
		for from := 0; ; {
			i := strings.Index(text[from:], l)
			if i < 0 {
				break
			}
			out = append(out, found{int32(id), from + i, from + i + len(l)})
			from += i + 1
		}
	}
	slices.SortFunc(out, func(a, b found) int { return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.start, b.start)) })
	return out
}

func TestMatcherFindsEveryOccurrence(t *testing.T) {
	for name, c := range map[string]struct {
		literals []string
		text     string
	}{
		"overlapping":       {[]string{"he", "she", "his", "hers"}, "ushers his she"},
		"one inside other":  {[]string{"採用", "不採用", "採用を見送"}, "不採用、採用を見送り"},
		"suffix of suffix":  {[]string{"a", "aa", "aaa"}, "aaaa"},
		"nothing":           {[]string{"x"}, "abc"},
		"no literals":       {nil, "abc"},
		"byte not a letter": {[]string{"ab"}, "a\xffab\x00ab"},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := scanAll(c.literals, c.text), indexAll(c.literals, c.text)
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func FuzzMatcher(f *testing.F) {
	f.Add("he|she|his|hers", "ushers")
	f.Add("採用|不採用|用を", "不採用を")
	f.Add("\xff|\xff\x00", "a\xff\x00")
	f.Fuzz(func(t *testing.T, list, text string) {
		literals := slices.DeleteFunc(strings.Split(list, "|"), func(l string) bool { return l == "" })
		slices.Sort(literals)
		literals = slices.Compact(literals)
		got, want := scanAll(literals, text), indexAll(literals, text)
		if !slices.Equal(got, want) {
			t.Errorf("literals %q in %q: got %v, want %v", literals, text, got, want)
		}
	})
}

// phrases makes n different Japanese and English phrases of the lengths that
// rules have.
func phrases(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("not able move forward your application the role position candidates offer unfortunately regret")
	kana := []rune("のにをはがとでもさせていただくことなりました採用見送選考結果応募面接残念内定辞退書類")
	out := make([]string, 0, n)
	for i := range n {
		var b strings.Builder
		for range 4 + r.IntN(12) {
			if i%2 == 0 {
				b.WriteRune(kana[r.IntN(len(kana))])
			} else {
				b.WriteString(words[r.IntN(len(words))] + " ")
			}
		}
		out = append(out, fmt.Sprintf("%s%d", b.String(), i))
	}
	return out
}

// BenchmarkMatcher scans a mail of 30 KB for 10,000 phrases.
func BenchmarkMatcher(b *testing.B) {
	const japanese = "このたびは弊社の営業職にご応募いただき、誠にありがとうございました。慎重に検討を重ねました結果、"
	const english = "Thank you for the time you spent with us; we have decided to move forward with your application. "
	m := newMatcher(phrases(10_000))
	text := strings.Repeat(japanese+english, 30<<10/len(japanese+english)+1)[:30<<10]
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		m.scan(text, func(int32, int, int) {})
	}
}
