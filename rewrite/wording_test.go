package rewrite

import (
	"slices"
	"strings"
	"testing"
)

// TestLintSeesEachMistake changes the shipped wordings in one way each: the lint
// names it, and nothing else is wrong.
func TestLintSeesEachMistake(t *testing.T) {
	shipped := loadWordings(t)
	for _, tc := range []struct {
		name, id, form, old, new, want string
	}{
		{"no link", "ja-standard", "text", "{{link}}", "ここ", "text: placeholder {{link}} is missing"},
		{"no opt-out", "ja-standard", "text", "{{optout_link}}", "ここ", "text: placeholder {{optout_link}} is missing"},
		{"no company", "ja-standard", "html", "{{company}}", "当社", "html: placeholder {{company}} is missing"},
		{"no agency", "en-standard", "html", "{{agency}}", "an agency", "html: placeholder {{agency}} is missing"},
		{"no label", "ja-standard", "text", "広告", "お知らせ", "text: the label 広告 or advertisement is missing"},
		{"no label, English", "en-standard", "html", "advertisement", "news", "html: the label 広告 or advertisement is missing"},
		{"opt-out that does not say so", "ja-standard", "text", "停止", "変更", "must say that the notice can be stopped"},
		{"opt-out in HTML that does not say so", "ja-standard", "html", "停止", "変更", "html: the opt-out link must say that the notice can be stopped"},
		{"opt-out far from its words", "ja-standard", "text", "\n{{optout_link}}", "\n\n{{optout_link}}", "must say that the notice can be stopped"},
		{"link inside a line", "en-standard", "text", "{{link}}", "here {{link}}", "a link stands alone on its line"},
		{"gift", "ja-standard", "text", "（任意）", "（特典）", `"特典" sounds like a gift`},
		{"gift, full width and capitals", "ja-standard", "text", "（任意）", "（ＡＭＡＺＯＮ）", `"amazon" sounds like a gift`},
		{"gift, English", "en-standard", "html", "career advice", "a Gift Card", `"gift" sounds like a gift`},
		{"お祝い金", "ja-standard", "html", "（任意）", "（お祝い金）", `"祝い金" sounds like a gift`},
		{"character that ISO-2022-JP lacks", "ja-standard", "text", "（任意）", "😀", "text: a character is missing in iso-2022-jp"},
		{"character that one charset lacks", "ja-standard", "html", "（任意）", "①", "html: ① is an addition of some vendors"},
		{"half-width kana", "ja-standard", "text", "（任意）", "ﾆﾝｲ", "text: ﾆ is an addition of some vendors"},
		{"English beyond ASCII", "en-standard", "text", "advertisement", "advertisement – really", "an English wording must be ASCII"},
		{"delimiter", "en-standard", "text", "{{link}}", "-- \n{{link}}", `must not start with "--"`},
		{"quotation", "en-standard", "text", "{{link}}", "> x\n{{link}}", `must not start with ">"`},
		{"flowed line", "en-standard", "text", "{{link}}", "x \n{{link}}", "must not end with a blank"},
		{"image", "ja-standard", "html", "</div>", "<img src=x></div>", "<img> has no place in the block"},
		{"no language", "ja-standard", "html", ` lang="ja"`, "", "the lang attribute is missing"},
	} {
		w, ok := shipped[tc.id]
		if !ok {
			t.Fatalf("there is no %s", tc.id)
		}
		form := &w.Text
		if tc.form == "html" {
			form = &w.HTML
		}
		if !strings.Contains(*form, tc.old) {
			t.Errorf("%s: %s does not contain %q", tc.name, tc.id, tc.old)
		}
		*form = strings.ReplaceAll(*form, tc.old, tc.new)
		problems := w.Lint()
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tc.want) }) {
			t.Errorf("%s: lint says %q, want %q", tc.name, problems, tc.want)
		}
	}
}

// TestWordingsSurviveEveryCharset: each shipped text can stand in every charset
// that a mail of its language may have, or has a fallback that can.
func TestWordingsSurviveEveryCharset(t *testing.T) {
	japanese := []string{"utf-8", "iso-2022-jp", "cp50221", "shift_jis", "cp932", "windows-31j", "euc-jp"}
	western := []string{"us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"}
	for id, w := range loadWordings(t) {
		charsets := japanese
		if w.Language == "en" {
			charsets = append(charsets[:len(charsets):len(charsets)], western...)
		}
		for _, name := range charsets {
			for form, text := range map[string]string{"text": w.Text, "html": w.HTML} {
				cs := lookupCharset(name)
				if cs == nil {
					t.Fatalf("no charset %s", name)
				}
				b, err := cs.encode(text)
				if err != nil || cs.decode(b) != text && cs.decode(b) != lookalikes.Replace(text) {
					t.Errorf("%s, %s: %s cannot carry it: %v", id, form, name, err)
				}
			}
		}
	}
}
