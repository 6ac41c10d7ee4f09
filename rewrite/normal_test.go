package rewrite

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestSentences(t *testing.T) {
	sp := splitter{lineEnds: []string{"様", "御中"}, abbreviations: map[string]bool{"mr": true, "dr": true, "no": true}}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"wrapped inside a word", "今回は採用を見送ら\nせていただきます。以上です。", []string{"今回は採用を見送ら\nせていただきます。", "以上です。"}},
		{"name line", "山田 太郎 様\nこのたびは", []string{"山田 太郎 様", "このたびは"}},
		{"empty line", "選考の結果\n\n不採用", []string{"選考の結果", "不採用"}},
		{"ruler", "本文\n━━━━━━\n株式会社", []string{"本文", "株式会社"}},
		{"list", "・設計は十分\n・経験がない", []string{"・設計は十分", "・経験がない"}},
		{"full stop in a quotation", "「見送ります。」との文面を送りました。次です。", []string{"「見送ります。」との文面を送りました。", "次です。"}},
		{"abbreviations", "Dear Mr. Smith, see No. 5. We regret it.", []string{"Dear Mr. Smith, see No. 5.", "We regret it."}},
		{"number", "Version 1.5 is out. Next", []string{"Version 1.5 is out.", "Next"}},
		{"quoted history", "はい。\n> 採用を見送り\n以上", []string{"はい。", "以上"}},
		{"full width marks", "ありがとう！ではまた？はい", []string{"ありがとう！", "ではまた？", "はい"}},
		{"nothing", " \n\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := slices.Collect(sp.sentences(tt.text)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFold(t *testing.T) {
	tests := []struct {
		name, in string
		squash   bool
		want     string
	}{
		{"blanks and line breaks inside words", "見 送ら\n　せて", true, "見送らせて"},
		{"half-width kana", "ｶﾌﾞｼｷ", true, "カブシキ"},
		{"full-width letters", "ＷＥＢ", true, "web"},
		{"format characters", "見\u200b送\u00ad", true, "見送"},
		{"dashes and waves", "10〜12 – 14", true, "10~12-14"},
		{"blanks are one", "move\r\n  forward ", false, "move forward"},
		{"apostrophe", "won’t", false, "won't"},
		{"quotation marks", "“no”", false, `"no"`},
		{"circled and company signs", "①㈱", true, "1(株)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fold(tt.in, tt.squash); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCompose: what is composed by itself is what NFKC makes of it, and combines
// with nothing in front of it.
func TestCompose(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		got, ok := compose(r)
		if !ok {
			continue
		}
		if want := norm.NFKC.String(string(r)); string(got) != want {
			t.Errorf("%U: got %q, want %q", r, got, want)
		}
		if !norm.NFKC.PropertiesString(string(got)).BoundaryBefore() {
			t.Errorf("%U combines with what stands in front of it", r)
		}
		if got == r && r >= utf8.RuneSelf && unicode.ToLower(r) != r {
			t.Errorf("%U has a lower case", r)
		}
		if isBlank(got) != unicode.IsSpace(got) || unicode.Is(unicode.Cf, got) {
			t.Errorf("%U is folded as another kind of character", r)
		}
	}
}

// FuzzSpeller compares the speller with the replacer of the standard library.
func FuzzSpeller(f *testing.F) {
	f.Add("致し|いたし|添|沿|添え|そえ", "添えず致しません")
	f.Add("n't| not|won't|will not|a||b|bb", "won't don't ab")
	f.Fuzz(func(t *testing.T, list, text string) {
		if len(list) > 200 || len(text) > 400 {
			return
		}
		pairs := strings.Split(strings.ToValidUTF8(list, "?"), "|")
		if len(pairs)%2 != 0 {
			pairs = append(pairs, "")
		}
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == "" {
				return // means nothing here, and every place there
			}
		}
		text = strings.ToValidUTF8(text, "?")
		if got, want := newSpeller(pairs).replace(text), strings.NewReplacer(pairs...).Replace(text); got != want {
			t.Errorf("%q in %q: got %q, want %q", pairs, text, got, want)
		}
	})
}

func TestIsJapanese(t *testing.T) {
	for text, want := range map[string]bool{
		"今回は見送ります":                                 true,
		"Webエンジニア職の選考":                             true,
		"Dear 天野 優希, we regret to inform you that": false,
		"We regret to inform you":                  false,
		"":                                         false,
	} {
		if got := isJapanese(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// FuzzText runs the text pipeline on anything: no panic, valid text, nothing
// read that was not written.
func FuzzText(f *testing.F) {
	f.Add("山田 様\n今回は「見送り」となりました。")
	f.Add("Dear Mr. X,\n\n\"no. no\" we regret.")
	rs := testRules(f)
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		for s := range rs.split.sentences(text) {
			if !strings.Contains(text, strings.Split(s, "\n")[0]) {
				t.Errorf("sentence %q is not in the text", s)
			}
		}
		for _, squash := range []bool{true, false} {
			folded := fold(text, squash)
			if plain := string(appendFoldRunes(nil, norm.NFKC.String(text), squash)); folded != plain {
				t.Errorf("%q folds to %q, want %q", text, folded, plain)
			}
			if !utf8.ValidString(folded) {
				t.Errorf("%q folds to invalid %q", text, folded)
			}
			for _, q := range appendQuotations(nil, []byte(folded)) {
				if q.start > q.end || q.end > len(folded) {
					t.Errorf("quotation %v lies outside", q)
				}
			}
		}
		v := rs.Decide(&Reading{Text: text, Subject: text}, Envelope{Recipients: []string{"a@example.com"}})
		if (v.Kind == None) == (v.Reason == "") {
			t.Errorf("kind %q with reason %q", v.Kind, v.Reason)
		}
	})
}
