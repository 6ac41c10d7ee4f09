package rewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Model is what was learnt from labelled mails: for each language the weights of
// short runs of characters and words. It is linear, so every part of a score can
// be shown. It never decides alone: a rule says how much its opinion counts, and
// wants evidence of its own beside. Immutable, safe for concurrent use.
type Model struct {
	languages map[string]*linear
}

// linear is the model of one language. A mail's score, in log odds of being a
// rejection, is the sum of
//
//   - the weights of the grams of all its sentences over the root of their number,
//   - the same for its subject, with weights of its own,
//   - the logarithm of the sum of exp(s) over its sentences, where s is the sum of
//     a sentence's weights over the root of their number: one sentence is enough
//     to refuse, however much is said around it.
type linear struct {
	bias     float64 // of a mail
	each     float64 // of every sentence
	whole    table
	sentence table
	subject  table
}

// table holds a weight for each bucket, in units of its scale.
type table struct {
	scale   float64
	weights []int8
}

// sum is the weights of distinct buckets over the root of their number.
func (t *table) sum(grams []uint16) float64 {
	total := 0
	for _, g := range grams {
		total += int(t.weights[g])
	}
	return overRoot(t.scale*float64(total), len(grams))
}

// share is what one of n distinct buckets adds to a sum.
func (t *table) share(g uint16, n int) float64 {
	return overRoot(t.scale*float64(t.weights[g]), n)
}

func overRoot(total float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return total / math.Sqrt(float64(n))
}

// opinion is what the model says of a mail.
type opinion struct {
	score    float64 // log odds of a rejection
	loudest  int     // sentence of the sheet that spoke most for one; -1: there is none
	quietest int     // sentence that spoke most against one
}

func (m *linear) opine(s sheet) opinion {
	op := opinion{loudest: -1, quietest: -1}
	scores := make([]float64, len(s.sentences))
	for i, grams := range s.sentences {
		scores[i] = m.each + m.sentence.sum(grams)
		if op.loudest < 0 || scores[i] > scores[op.loudest] {
			op.loudest = i
		}
		if op.quietest < 0 || scores[i] < scores[op.quietest] {
			op.quietest = i
		}
	}
	op.score = m.bias + m.whole.sum(s.whole) + m.subject.sum(s.subject) + logSumExp(scores)
	return op
}

// logSumExp is 0 for no scores at all.
func logSumExp(scores []float64) float64 {
	if len(scores) == 0 {
		return 0
	}
	top := slices.Max(scores)
	sum := 0.0
	for _, s := range scores {
		sum += math.Exp(s - top)
	}
	return top + math.Log(sum)
}

// modelMagic begins every stored model; the digit counts the forms.
const modelMagic = "careerrelay model 1\n"

// Append adds the stored form: the magic, then for each language in order its name
// (a length byte first), bias, each, and the tables whole, sentence and subject,
// each as its scale and one signed byte a bucket; numbers are little-endian IEEE 754.
func (m *Model) Append(out []byte) []byte {
	out = append(out, modelMagic...)
	for _, language := range slices.Sorted(maps.Keys(m.languages)) {
		l := m.languages[language]
		out = append(append(out, byte(len(language))), language...)
		out = appendFloat(appendFloat(out, l.bias), l.each)
		for _, t := range l.tables() {
			out = appendFloat(out, t.scale)
			for _, w := range t.weights {
				out = append(out, byte(w))
			}
		}
	}
	return out
}

func (l *linear) tables() []*table { return []*table{&l.whole, &l.sentence, &l.subject} }

func appendFloat(out []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(out, math.Float64bits(f))
}

// ParseModel reads what Append wrote.
func ParseModel(data []byte) (*Model, error) {
	rest, ok := cutPrefix(data, modelMagic)
	if !ok {
		return nil, errors.New("parse the model: it does not begin as one of this program's does")
	}
	m := &Model{languages: map[string]*linear{}}
	for len(rest) > 0 {
		n := int(rest[0])
		if len(rest) < 1+n+modelBytes {
			return nil, fmt.Errorf("parse the model: it ends %d bytes into a language", len(rest))
		}
		l := &linear{}
		l.read(rest[1+n : 1+n+modelBytes])
		m.languages[string(rest[1:1+n])] = l
		rest = rest[1+n+modelBytes:]
	}
	return m, nil
}

func cutPrefix(data []byte, prefix string) ([]byte, bool) {
	if len(data) < len(prefix) || string(data[:len(prefix)]) != prefix {
		return nil, false
	}
	return data[len(prefix):], true
}

// modelBytes is the size of one language behind its name.
const modelBytes = 2*8 + 3*(8+buckets)

func (l *linear) read(data []byte) {
	next := func() float64 {
		f := math.Float64frombits(binary.LittleEndian.Uint64(data))
		data = data[8:]
		return f
	}
	l.bias, l.each = next(), next()
	for _, t := range l.tables() {
		t.scale, t.weights = next(), make([]int8, buckets)
		for i := range t.weights {
			t.weights[i] = int8(data[i])
		}
		data = data[buckets:]
	}
}
