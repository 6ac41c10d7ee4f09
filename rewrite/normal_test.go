package rewrite

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalise(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"blanks and wraps in Japanese": {"見送ら\n せて　いただく", "見送らせていただく"},
		"half-width kana":              {"ｲﾝﾀｰﾝ ﾊﾟｰﾄ", "インターンパート"},
		"full-width letters":           {"ＷＥＢテスト", "webテスト"},
		"English words stay apart":     {"not  be\n moving forward", "not be moving forward"},
		"mixed":                        {"ご応募の Data Engineer 職", "ご応募のdata engineer職"},
		"commas":                       {"今回は、採用を、見送り / We regret, however, that", "今回は採用を見送り/ we regret however that"},
		"zero width":                   {"採\u200b用\ufeffを", "採用を"},
		"emphasis":                     {"we will *not* be", "we will not be"},
		"dashes":                       {"a – b — c", "a - b - c"},
		"apostrophe":                   {"won’t", "won't"},
		"compatibility":                {"㈱サンプル ①", "(株)サンプル1"},
		"soft hyphen":                  {"unfor\u00adtunately", "unfortunately"},
		"combining voiced mark":        {"か\u3099", "が"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := normalise(c.in); got != c.want {
				t.Errorf("normalise(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestSpeller(t *testing.T) {
	s := newSpeller(map[string]string{"頂": "いただ", "頂戴": "ちょうだい", "沿": "添", "we've": "we have", "cv": "resume"})
	for in, want := range map[string]string{
		"応募頂き":        "応募いただき",
		"頂戴した":        "ちょうだいした",
		"沿いかねる":       "添いかねる",
		"we've a cv":  "we have a resume",
		"we've1 cvs":  "we've1 cvs",
		"no spelling": "no spelling",
		"":            "",
	} {
		if got := s.apply(in); got != want {
			t.Errorf("apply(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSentences(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"wrapped Japanese":   {"誠に残念ながら、今回は採用を見送らせていただきたく\n存じます。ご了承ください。", []string{"誠に残念ながら、今回は採用を見送らせていただきたく\n存じます。", "ご了承ください。"}},
		"salutation":         {"Dear Priya,\nThank you.", []string{"Dear Priya,", "Thank you."}},
		"head":               {"内藤 様\n株式会社サンプルです。", []string{"内藤 様", "株式会社サンプルです。"}},
		"titles":             {"I met Dr. Farouk and Mr. Lee. They agreed.", []string{"I met Dr. Farouk and Mr. Lee.", "They agreed."}},
		"decimal and lower":  {"It costs 1.5 a year. and so on", []string{"It costs 1.5 a year. and so on"}},
		"list":               {"The documents that you sent us:\n- one thing\n- another", []string{"The documents that you sent us:", "- one thing", "- another"}},
		"quotation":          {"「慎重に選考した結果、誠に残念ながら。」と書く。", []string{"「￼￼￼￼￼￼￼￼￼￼￼￼￼￼￼￼￼￼」と書く。"}},
		"short quotation":    {"「営業職」の件。", []string{"「営業職」の件。"}},
		"full stop in quote": {"彼は「はい。」と言った。次。", []string{"彼は「はい。」と言った。", "次。"}},
		"blank lines only":   {"\n \n\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sentences(c.in); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzText: the pipeline loses no Japanese or Latin letter outside quotations,
// cuts at bounded length, and what it made it does not change again.
func FuzzText(f *testing.F) {
	f.Add("誠に残念ながら、\n今回は「採用」を見送ります。Dear Dr. Lee, no. 1) x")
	f.Add("\"quoted words that are long\" ﾊﾟ㈱\u200b")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range sentences(text) {
			if n := utf8.RuneCountInString(s); n > sentenceMost || strings.TrimSpace(s) == "" {
				t.Fatalf("sentence of %d characters: %q", n, s)
			}
		}
		once := normalise(text)
		if again := normalise(once); again != once {
			t.Fatalf("normalise(%q) = %q, again %q", text, once, again)
		}
	})
}
