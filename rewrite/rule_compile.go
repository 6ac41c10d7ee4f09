package rewrite

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Rules are compiled rules. They are safe for concurrent use.
type Rules struct {
	rules     []compiledRule
	signals   []Signal
	matcher   *matcher
	literals  []literal
	byText    [][]int32 // literals by the entry of the matcher: equal texts, different boundaries
	pieces    int
	sequences []sequence
	byFirst   [][]int32 // sequences by the piece they start with
	spelling  *speller
}

type compiledRule struct {
	Rule
	all, any, also, unless, stages []int // indexes into Rules.signals
}

// role says what a sequence does for its signal.
type role uint8

const (
	says role = iota
	with
	without
	near
)

// literal is one text the matcher looks for, and the pieces it stands for.
type literal struct {
	pieces   []int32
	boundary boundary
}

// boundary says at which edges an occurrence must be the edge of a word.
type boundary struct{ start, end bool }

// sequence is one phrase: pieces that follow each other in one sentence.
type sequence struct {
	signal int32
	role   role
	steps  []step
}

type step struct {
	piece int32
	gap   int // characters that may stand before the piece
}

// Compile checks rules and prepares them for use. The error joins all mistakes,
// each a *RuleError.
func Compile(rules []Rule) (*Rules, error) {
	c := newCompiler(rules)
	for _, r := range rules {
		c.rule(r)
	}
	if len(c.mistakes) > 0 {
		return nil, errors.Join(c.mistakes...)
	}
	return c.finish(), nil
}

// RuleError is one mistake in a rule.
type RuleError struct {
	Rule, Signal string // ids; Signal is "" if the rule itself is wrong
	Phrase       string // the phrase that is wrong, "" if none is
	Err          error
}

func (e *RuleError) Error() string {
	place := "rule " + e.Rule
	if e.Signal != "" {
		place += ": signal " + e.Signal
	}
	return place + ": " + e.Err.Error()
}

func (e *RuleError) Unwrap() error { return e.Err }

type compiler struct {
	rs       *Rules
	ids      map[string]bool
	texts    []string
	literals map[string]int32 // text and boundary to literal
	pieces   map[string]int32 // key of a literal or class to piece
	mistakes []error
}

func newCompiler(rules []Rule) *compiler {
	table := map[string]string{}
	for _, r := range rules {
		for from, to := range r.Spellings {
			table[from] = to
		}
	}
	return &compiler{
		rs:       &Rules{spelling: newSpeller(table)},
		ids:      map[string]bool{},
		literals: map[string]int32{},
		pieces:   map[string]int32{},
	}
}

func (c *compiler) rule(r Rule) {
	wrong := func(format string, args ...any) {
		c.mistakes = append(c.mistakes, &RuleError{Rule: r.ID, Err: fmt.Errorf(format, args...)})
	}
	if r.ID == "" || c.ids[r.ID] {
		wrong("id is missing or used twice")
	}
	c.ids[r.ID] = true
	if r.Kind != Rejection && r.Kind != Leaver {
		wrong("kind %q is neither rejection nor leaver", r.Kind)
	}
	out := compiledRule{Rule: r}
	index := map[string]int{}
	for _, s := range r.Signals {
		index[s.ID] = c.signal(r, s)
		if s.Stage != "" {
			out.stages = append(out.stages, index[s.ID])
		}
	}
	pick := func(names []string) (picked []int) {
		for _, name := range names {
			i, ok := index[name]
			if !ok {
				wrong("no signal %q", name)
			}
			picked = append(picked, i)
		}
		return picked
	}
	out.all, out.any, out.also, out.unless = pick(r.All), pick(r.Any), pick(r.Also), pick(r.Unless)
	if len(out.all)+len(out.any) == 0 {
		wrong("names no signal it needs: all or any")
	}
	c.rs.rules = append(c.rs.rules, out)
}

// signal compiles the phrases of s and returns its index.
func (c *compiler) signal(r Rule, s Signal) int {
	id := len(c.rs.signals)
	c.rs.signals = append(c.rs.signals, s)
	if len(s.Says) == 0 {
		c.mistakes = append(c.mistakes, &RuleError{Rule: r.ID, Signal: s.ID, Err: errors.New("says nothing")})
	}
	for kind, phrases := range [][]string{says: s.Says, with: s.With, without: s.Without, near: s.Near} {
		for _, phrase := range phrases {
			if err := c.phrase(r, int32(id), role(kind), phrase); err != nil {
				c.mistakes = append(c.mistakes, &RuleError{Rule: r.ID, Signal: s.ID, Phrase: phrase, Err: err})
			}
		}
	}
	return id
}

func (c *compiler) phrase(r Rule, signal int32, as role, phrase string) error {
	alternatives, err := parsePhrase(phrase)
	if err != nil {
		return err
	}
	for _, parts := range alternatives {
		seq := sequence{signal: signal, role: as}
		for _, p := range parts {
			piece, err := c.piece(r, p, 0)
			if err != nil {
				return err
			}
			seq.steps = append(seq.steps, step{piece, p.gap})
		}
		c.rs.sequences = append(c.rs.sequences, seq)
	}
	return nil
}

// piece gives the number of a literal or of a class, whose members are literals.
func (c *compiler) piece(r Rule, p part, depth int) (int32, error) {
	key := "=" + p.text
	if p.class {
		key = "<" + r.Language + " " + p.text
	}
	if n, ok := c.pieces[key]; ok {
		return n, nil
	}
	n := int32(c.rs.pieces)
	c.rs.pieces++
	if !p.class {
		if err := c.literal(p.text, n); err != nil {
			return 0, err
		}
		c.pieces[key] = n
		return n, nil
	}
	if err := c.members(r, p.text, n, depth); err != nil {
		return 0, err
	}
	c.pieces[key] = n
	return n, nil
}

// maxDepth bounds how deep classes may refer to each other.
const maxDepth = 6

// members lets every phrase of a class stand for piece n.
func (c *compiler) members(r Rule, class string, n int32, depth int) error {
	phrases, ok := r.Classes[class]
	if !ok {
		return fmt.Errorf("no word class <%s>", class)
	}
	if depth > maxDepth {
		return fmt.Errorf("word class <%s> refers to itself", class)
	}
	for _, phrase := range phrases {
		alternatives, err := parsePhrase(phrase)
		if err != nil {
			return fmt.Errorf("word class <%s>: %w", class, err)
		}
		for _, parts := range alternatives {
			switch {
			case len(parts) > 1:
				return fmt.Errorf("word class <%s>: %q: a member is one text or one other class", class, phrase)
			case parts[0].class:
				err = c.members(r, parts[0].text, n, depth+1)
			default:
				err = c.literal(parts[0].text, n)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// literal lets text stand for piece n.
func (c *compiler) literal(text string, n int32) error {
	open := strings.HasSuffix(text, "*")
	bare, atStart := strings.CutPrefix(text, "^")
	bare, atEnd := strings.CutSuffix(bare, "$")
	normal := c.rs.spelling.apply(normalise(bare))
	if normal == "" {
		return fmt.Errorf("nothing is left of %q in normalised form", text)
	}
	first, _ := utf8.DecodeRuneInString(normal)
	last, _ := utf8.DecodeLastRuneInString(normal)
	b := boundary{start: latin(first), end: latin(last) && !open}
	if atStart {
		normal = sentenceStart + normal
	}
	if atEnd {
		normal += sentenceStop
	}
	key := fmt.Sprint(normal, "\x00", b)
	id, ok := c.literals[key]
	if !ok {
		id = int32(len(c.texts))
		c.literals[key] = id
		c.texts = append(c.texts, normal)
		c.rs.literals = append(c.rs.literals, literal{boundary: b})
	}
	c.rs.literals[id].pieces = append(c.rs.literals[id].pieces, n)
	return nil
}

// finish builds the matcher, in which literals of equal text share an entry.
func (c *compiler) finish() *Rules {
	rs := c.rs
	entries := map[string]int32{}
	var texts []string
	for id, text := range c.texts {
		entry, ok := entries[text]
		if !ok {
			entry = int32(len(texts))
			entries[text] = entry
			texts = append(texts, text)
			rs.byText = append(rs.byText, nil)
		}
		rs.byText[entry] = append(rs.byText[entry], int32(id))
	}
	rs.matcher = newMatcher(texts)
	rs.byFirst = make([][]int32, rs.pieces)
	for i, seq := range rs.sequences {
		first := seq.steps[0].piece
		rs.byFirst[first] = append(rs.byFirst[first], int32(i))
	}
	return rs
}
