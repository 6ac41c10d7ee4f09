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
	levels    [][][]int32 // sequences by level and by the piece they start with
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

// sequence is one phrase: pieces that follow each other in one sentence. It
// speaks for a signal, or makes a piece that stands for a word class.
type sequence struct {
	signal int32 // -1: it makes a piece
	makes  int32
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

// signals is the level of the sequences that speak for a signal; below it are
// the word classes, each above those it names.
const signals = 6

// piece is what a phrase is made of: a literal, or a word class of a level.
type piece struct {
	number int32
	level  int
}

type compiler struct {
	rs        *Rules
	ids       map[string]bool
	texts     []string         // of the literals
	literals  map[string]int32 // text and boundary to piece
	literalOf map[int32]int    // piece to literal
	classes   map[string]piece
	sequences [signals + 1][]sequence
	mistakes  []error
}

func newCompiler(rules []Rule) *compiler {
	table := map[string]string{}
	for _, r := range rules {
		for from, to := range r.Spellings {
			table[from] = to
		}
	}
	return &compiler{
		rs:        &Rules{spelling: newSpeller(table)},
		ids:       map[string]bool{},
		literals:  map[string]int32{},
		literalOf: map[int32]int{},
		classes:   map[string]piece{},
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
	steps, _, err := c.steps(r, phrase, 0)
	if err != nil {
		return err
	}
	for _, s := range steps {
		c.sequences[signals] = append(c.sequences[signals], sequence{signal: signal, role: as, steps: s})
	}
	return nil
}

// steps compiles the alternatives of a phrase. The level is above that of every
// class they name.
func (c *compiler) steps(r Rule, phrase string, depth int) (out [][]step, level int, err error) {
	var anonymous [][]string
	alternatives, err := parsePhrase(phrase, &anonymous)
	if err != nil {
		return nil, 0, err
	}
	named := make([]piece, len(anonymous))
	for i, members := range anonymous {
		if named[i], err = c.class(r, "("+strings.Join(members, "|")+")", members, depth+1); err != nil {
			return nil, 0, err
		}
	}
	for _, parts := range alternatives {
		var steps []step
		for _, p := range parts {
			made, err := c.piece(r, p, named, depth)
			if err != nil {
				return nil, 0, err
			}
			level = max(level, made.level)
			steps = append(steps, step{made.number, p.gap})
		}
		out = append(out, steps)
	}
	return out, level, nil
}

// piece gives the piece of a literal or of a word class.
func (c *compiler) piece(r Rule, p part, named []piece, depth int) (piece, error) {
	if !p.class {
		n, err := c.literal(p.text)
		return piece{number: n}, err
	}
	var anonymous int
	if _, err := fmt.Sscanf(p.text, "@%d", &anonymous); err == nil && anonymous < len(named) {
		return named[anonymous], nil
	}
	members, ok := r.Classes[p.text]
	if !ok {
		return piece{}, fmt.Errorf("no word class <%s>", p.text)
	}
	if depth >= signals {
		return piece{}, fmt.Errorf("word class <%s> is nested too deeply, or refers to itself", p.text)
	}
	return c.class(r, r.Language+" <"+p.text, members, depth+1)
}

// class lets every phrase of a word class make one piece.
func (c *compiler) class(r Rule, key string, members []string, depth int) (piece, error) {
	if made, ok := c.classes[key]; ok {
		return made, nil
	}
	made := piece{number: c.newPiece()}
	for _, member := range members {
		steps, level, err := c.steps(r, member, depth)
		if err != nil {
			return piece{}, err
		}
		if level+1 >= signals {
			return piece{}, fmt.Errorf("word classes are nested more than %d deep", signals-1)
		}
		made.level = max(made.level, level)
		for _, s := range steps {
			if len(s) == 1 && level == 0 {
				c.standsFor(s[0].piece, made.number)
				continue
			}
			made.level = max(made.level, level+1)
			c.sequences[level+1] = append(c.sequences[level+1], sequence{signal: -1, makes: made.number, steps: s})
		}
	}
	c.classes[key] = made
	return made, nil
}

func (c *compiler) newPiece() int32 {
	c.rs.pieces++
	return int32(c.rs.pieces - 1)
}

// standsFor lets the literal that made piece from make piece to as well.
func (c *compiler) standsFor(from, to int32) {
	lit := &c.rs.literals[c.literalOf[from]]
	lit.pieces = append(lit.pieces, to)
}

// literal gives the piece of one text.
func (c *compiler) literal(text string) (int32, error) {
	open := strings.HasSuffix(text, "*")
	bare, atStart := strings.CutPrefix(text, "^")
	bare, atEnd := strings.CutSuffix(bare, "$")
	normal := c.rs.spelling.apply(normalise(bare))
	if normal == "" && !atStart && !atEnd {
		return 0, fmt.Errorf("nothing is left of %q in normalised form", text)
	}
	if atStart {
		normal = sentenceStart + normal
	}
	if atEnd {
		normal += sentenceStop
	}
	first, _ := utf8.DecodeRuneInString(normal)
	last, _ := utf8.DecodeLastRuneInString(normal)
	b := boundary{start: latin(first), end: latin(last) && !open}
	key := fmt.Sprint(normal, "\x00", b)
	if made, ok := c.literals[key]; ok {
		return made, nil
	}
	made := c.newPiece()
	c.literals[key] = made
	c.literalOf[made] = len(c.texts)
	c.texts = append(c.texts, normal)
	c.rs.literals = append(c.rs.literals, literal{pieces: []int32{made}, boundary: b})
	return made, nil
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
	for _, sequences := range c.sequences {
		byFirst := make([][]int32, rs.pieces)
		for _, seq := range sequences {
			first := seq.steps[0].piece
			byFirst[first] = append(byFirst[first], int32(len(rs.sequences)))
			rs.sequences = append(rs.sequences, seq)
		}
		if len(sequences) > 0 {
			rs.levels = append(rs.levels, byFirst)
		}
	}
	return rs
}
