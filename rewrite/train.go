package rewrite

import (
	"cmp"
	"math"
	"math/rand/v2"
	"strings"
)

// Lesson is one labelled mail as the model sees it.
type Lesson struct {
	language string
	sheet    sheet
	refuses  bool
}

// Lesson makes a lesson of a mail: in the language that most of its text is in.
func (rs *Rules) Lesson(r *Reading, refuses bool) Lesson {
	an := rs.analyse(r)
	defer rs.release(an)
	best := Lesson{refuses: refuses}
	for _, lex := range rs.lexicons {
		if s, _ := sheetOf(an, lex); best.language == "" || len(s.whole) > len(best.sheet.whole) {
			best.language, best.sheet = lex.language, s
		}
	}
	return best
}

// LanguageOf is the language that the newest text, or else the subject, of a mail
// is read in: "ja", "en" for every other, "" if there is nothing to read.
func LanguageOf(r *Reading) string {
	switch text := cmp.Or(strings.TrimSpace(r.Text), strings.TrimSpace(r.Subject)); {
	case text == "":
		return ""
	case isJapanese(text):
		return langJapanese
	}
	return "en"
}

// Training are the settings of Train.
type Training struct {
	Rounds int     // over all lessons
	Rate   float64 // of the steps
	Decay  float64 // pull of the weights towards 0 (L2)
}

// DefaultTraining was chosen by leaving out one author after the other.
func DefaultTraining() Training { return Training{Rounds: 30, Rate: 0.1, Decay: 1e-4} }

// Train learns a model. The same lessons in the same order give the same model,
// bit for bit.
func Train(lessons []Lesson, how Training) *Model {
	byLanguage := map[string][]Lesson{}
	for _, l := range lessons {
		byLanguage[l.language] = append(byLanguage[l.language], l)
	}
	m := &Model{languages: map[string]*linear{}}
	for language, own := range byLanguage {
		t := newTrainer(how)
		t.learn(own)
		m.languages[language] = t.linear()
	}
	return m
}

// trainer minimises the logistic loss by AdaGrad (Duchi et al., JMLR 12, 2011),
// a lesson at a time.
type trainer struct {
	how                      Training
	bias, each               slope
	whole, subject, sentence []slope
}

// slope is a weight and the sum of the squares of its gradients.
type slope struct{ weight, squares float64 }

func newTrainer(how Training) *trainer {
	return &trainer{how: how, whole: make([]slope, buckets), subject: make([]slope, buckets), sentence: make([]slope, buckets)}
}

func (t *trainer) learn(lessons []Lesson) {
	order := rand.New(rand.NewPCG(1, 2))
	at := make([]int, len(lessons))
	for i := range at {
		at[i] = i
	}
	for range t.how.Rounds {
		order.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
		for _, i := range at {
			t.step(lessons[i])
		}
	}
}

// step moves the weights against the gradient of one lesson's loss.
func (t *trainer) step(l Lesson) {
	scores := make([]float64, len(l.sheet.sentences))
	for i, grams := range l.sheet.sentences {
		scores[i] = t.each.weight + sumOf(t.sentence, grams)
	}
	pooled := logSumExp(scores)
	score := t.bias.weight + sumOf(t.whole, l.sheet.whole) + sumOf(t.subject, l.sheet.subject) + pooled
	gradient := 1 / (1 + math.Exp(-score))
	if l.refuses {
		gradient--
	}
	t.move(&t.bias, gradient)
	t.push(t.whole, l.sheet.whole, gradient)
	t.push(t.subject, l.sheet.subject, gradient)
	for i, grams := range l.sheet.sentences {
		share := float64(gradient * math.Exp(scores[i]-pooled))
		t.move(&t.each, share)
		t.push(t.sentence, grams, share)
	}
}

func sumOf(weights []slope, grams []uint16) float64 {
	total := 0.0
	for _, g := range grams {
		total += weights[g].weight
	}
	return overRoot(total, len(grams))
}

func (t *trainer) push(weights []slope, grams []uint16, gradient float64) {
	if len(grams) == 0 {
		return
	}
	gradient = overRoot(gradient, len(grams))
	for _, g := range grams {
		t.move(&weights[g], gradient)
	}
}

// move takes one step. The conversions keep other processors from fusing a
// multiplication with an addition, which rounds differently.
func (t *trainer) move(s *slope, gradient float64) {
	gradient += float64(t.how.Decay * s.weight)
	s.squares += float64(gradient * gradient)
	if s.squares > 0 {
		s.weight -= float64(t.how.Rate * gradient / math.Sqrt(s.squares))
	}
}

func (t *trainer) linear() *linear {
	return &linear{bias: t.bias.weight, each: t.each.weight, whole: quantise(t.whole), subject: quantise(t.subject), sentence: quantise(t.sentence)}
}

// quantise keeps each weight as a number of 1/127 of the largest.
func quantise(weights []slope) table {
	top := 0.0
	for _, w := range weights {
		top = max(top, math.Abs(w.weight))
	}
	t := table{scale: top / math.MaxInt8, weights: make([]int8, len(weights))}
	if top == 0 {
		return t
	}
	for i, w := range weights {
		t.weights[i] = int8(math.Round(w.weight / t.scale))
	}
	return t
}
