package configs

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/careerrelay/careerrelay/rewrite"
)

// FuzzDecide: whatever a mail says, the shipped rules and the model judge it the
// same way twice, with a reason for each refusal to act.
func FuzzDecide(f *testing.F) {
	rs := loadBuiltin(f)
	f.Add("選考結果", "残念ながら今回は採用を見送らせていただきます。")
	f.Add("Your application", "Unfortunately we have decided to go with another candidate.")
	f.Add("Mixed 結果", "Thank you. 残念ながら「不採用」です。\n\n> old\n-- \nx")
	f.Add("\xff\xfe", "\x00\u200b'\"「\n")
	env := rewrite.Envelope{Recipients: []string{"someone@candidate.example"}}
	f.Fuzz(func(t *testing.T, subject, text string) {
		r := &rewrite.Reading{Subject: subject, Text: text}
		first, second := rs.Decide(r, env), rs.Decide(r, env)
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("judged twice: %+v and %+v", first, second)
		}
		if (first.Kind == rewrite.None) != (first.Reason != "") {
			t.Fatalf("%s for the reason %q", first.Kind, first.Reason)
		}
		for _, e := range first.Evidence {
			if e.Text == "" || utf8.ValidString(text) && utf8.ValidString(subject) && !utf8.ValidString(e.Text) {
				t.Fatalf("evidence without readable words: %+v", e)
			}
		}
	})
}
