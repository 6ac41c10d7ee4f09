package rewrite

import (
	"bytes"
	"strings"
	"testing"
)

// taught are rules of which one needs the model's consent, one fears its
// objection, and one has a veto that yields to it.
func taught(t testing.TB) *Rules {
	t.Helper()
	clause := func(id, phrase string) []Clause { return []Clause{{ID: id, Score: 1, Any: []string{phrase}}} }
	rs, err := Compile([]Rule{
		{ID: "agrees", Kind: Rejection, Language: "en", Threshold: 1, Model: 0.5, Evidence: clause("hint", "sorry")},
		{ID: "objects", Kind: Rejection, Language: "en", Threshold: 1, Model: -0.5, Evidence: clause("no", "not hired"),
			Veto: []Clause{{ID: "loan", Any: []string{"loan"}, UnlessModel: 0.5}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// lessonsOf repeats what the model is to learn until it is sure.
func lessonsOf(rs *Rules) []Lesson {
	var lessons []Lesson
	for range 20 {
		lessons = append(lessons,
			rs.Lesson(&Reading{Subject: "Your application", Text: "Sorry, the chef took his cousin."}, true),
			rs.Lesson(&Reading{Subject: "Your application", Text: "You are not hired, and the loan is gone."}, true),
			rs.Lesson(&Reading{Subject: "Lunch", Text: "Sorry, the kitchen is closed today."}, false),
			rs.Lesson(&Reading{Subject: "Lunch", Text: "We joke that cooks are not hired but born."}, false))
	}
	return lessons
}

func TestModelInRules(t *testing.T) {
	rs := taught(t)
	with := rs.WithModel(Train(lessonsOf(rs), DefaultTraining()))
	refusal := Reading{Subject: "Your application", Text: "Sorry, the chef took his cousin."}
	lunch := Reading{Subject: "Lunch", Text: "Sorry, the kitchen is closed today."}
	joke := Reading{Subject: "Lunch", Text: "We joke that cooks are not hired but born."}
	loan := Reading{Subject: "Your application", Text: "You are not hired, and the loan is gone."}
	tests := []struct {
		name    string
		rules   *Rules
		reading Reading
		kind    Kind
		reason  string
	}{
		{"weak words, and the model agrees", with, refusal, Rejection, ""},
		{"weak words, and the model does not", with, lunch, None, ReasonNoRule},
		{"weak words, and no model", rs, refusal, None, ReasonNoRule},
		{"plain words, and the model objects", with, joke, None, ReasonModelDoubts},
		{"plain words, and no model", rs, joke, Rejection, ""},
		{"a veto that yields", with, loan, Rejection, ""},
		{"a veto, and no model", rs, loan, None, ReasonContrary},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.rules.judge(&tt.reading)
			if v.Kind != tt.kind || v.Reason != tt.reason {
				t.Errorf("got %s %q, want %s %q: %+v", v.Kind, v.Reason, tt.kind, tt.reason, v.Evidence)
			}
		})
	}
}

// TestModelExplains: the sentence that spoke most is shown, and words of it.
func TestModelExplains(t *testing.T) {
	rs := taught(t)
	rs = rs.WithModel(Train(lessonsOf(rs), DefaultTraining()))
	v := rs.judge(&Reading{Subject: "Your application", Text: "It was good to meet you. Sorry, the chef took his cousin."})
	words := 0
	for _, e := range v.Evidence {
		switch e.ID {
		case modelSays:
			if e.Weight < 0.5 || !strings.Contains(e.Text, "cousin") {
				t.Errorf("the model's evidence is %+v", e)
			}
		case modelWords:
			words++
			if e.Weight <= 0 || !strings.Contains("sorry, the chef took his cousin.", e.Text) {
				t.Errorf("a word of it is %+v", e)
			}
		}
	}
	if words == 0 || words > shownWords {
		t.Errorf("%d words are shown", words)
	}
}

// TestTrainAgain: the same lessons give the same bytes, and these the same model.
func TestTrainAgain(t *testing.T) {
	rs := taught(t)
	first, second := Train(lessonsOf(rs), DefaultTraining()).Append(nil), Train(lessonsOf(rs), DefaultTraining()).Append(nil)
	if !bytes.Equal(first, second) {
		t.Error("two trainings differ")
	}
	m, err := ParseModel(first)
	if err != nil || !bytes.Equal(m.Append(nil), first) {
		t.Errorf("read and written again it differs (%v)", err)
	}
	for name, data := range map[string][]byte{"empty": nil, "other": []byte("a model"), "cut": first[:len(first)-1]} {
		if _, err := ParseModel(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzParseModel: whatever stands in the file, it is refused or read as written.
func FuzzParseModel(f *testing.F) {
	rs := taught(f)
	f.Add(Train(lessonsOf(rs)[:4], DefaultTraining()).Append(nil))
	f.Add([]byte(modelMagic))
	f.Add([]byte(modelMagic + "\x02en"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseModel(data)
		if err != nil {
			return
		}
		for _, l := range m.languages {
			l.opine(sheet{whole: []uint16{1, 65535}, sentences: [][]uint16{{0}}})
		}
	})
}
