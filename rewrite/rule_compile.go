package rewrite

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Rules is a compiled set of rules: immutable, safe for concurrent use.
type Rules struct {
	rules    []*compiledRule
	lexicons []*lexicon // by language, in their order
	split    splitter
	except   Except
	model    *Model    // nil: none
	analyses sync.Pool // of *analysis
}

// Wordings maps the ids of rules to the wording families they ask for; rules
// that ask for none are left out.
func (rs *Rules) Wordings() map[string]string {
	wordings := map[string]string{}
	for _, r := range rs.rules {
		if r.Wording != "" {
			wordings[r.ID] = r.Wording
		}
	}
	return wordings
}

// IDs are the ids of the rules, in their order.
func (rs *Rules) IDs() []string {
	var ids []string
	for _, r := range rs.rules {
		ids = append(ids, r.ID)
	}
	return ids
}

// RuleError is one mistake in a rule. Where a phrase is wrong, Phrase is that
// phrase as written, so that it can be found in its file.
type RuleError struct {
	Rule   string
	Phrase string
	Msg    string
}

func (e *RuleError) Error() string {
	if e.Phrase == "" {
		return fmt.Sprintf("rule %s: %s", e.Rule, e.Msg)
	}
	return fmt.Sprintf("rule %s: phrase %q: %s", e.Rule, e.Phrase, e.Msg)
}

// compiledRule is a Rule with its words replaced by numbers of classes.
type compiledRule struct {
	Rule
	lex      *lexicon
	evidence []clause
	veto     []clause
	stages   []stage
}

type clause struct {
	Clause
	any        int
	same       []int
	all        []int
	unless     int // -1: none
	unlessMail int // -1: none
}

type stage struct {
	id  string
	any int
}

// Compile checks the rules and builds what Decide needs. It reports all
// mistakes at once: an errors.Join of *RuleError. Examples are not run here.
func Compile(rules []Rule) (*Rules, error) {
	c := compiler{building: map[string]*lexiconBuilder{}}
	resolved := c.resolve(rules)
	for _, r := range resolved {
		c.collect(r)
	}
	rs := &Rules{split: splitter{abbreviations: map[string]bool{}}}
	for _, r := range resolved {
		rs.addShared(r)
		if r.Disabled || r.Abstract {
			continue
		}
		rs.rules = append(rs.rules, c.rule(r))
	}
	for _, language := range slices.Sorted(maps.Keys(c.building)) {
		lex := c.building[language].finish(&c)
		lex.language, lex.index = language, len(rs.lexicons)
		rs.lexicons = append(rs.lexicons, lex)
	}
	for _, r := range rs.rules {
		i := slices.IndexFunc(rs.lexicons, func(lex *lexicon) bool { return lex.language == r.Language })
		r.lex = rs.lexicons[i]
	}
	return rs, errors.Join(c.errs...)
}

// addShared takes over what is set per rule but holds for the whole set.
func (rs *Rules) addShared(r Rule) {
	for _, end := range r.LineEnds {
		if !slices.Contains(rs.split.lineEnds, end) {
			rs.split.lineEnds = append(rs.split.lineEnds, end)
		}
	}
	for _, a := range r.Abbreviations {
		rs.split.abbreviations[strings.ToLower(strings.TrimSuffix(a, "."))] = true
	}
	rs.except.Addresses = append(rs.except.Addresses, r.Except.Addresses...)
	rs.except.Domains = append(rs.except.Domains, r.Except.Domains...)
	rs.except.Headers = mergeMap(rs.except.Headers, r.Except.Headers)
}

type compiler struct {
	building map[string]*lexiconBuilder
	errs     []error
}

func (c *compiler) fail(rule, phrase, format string, args ...any) {
	c.errs = append(c.errs, &RuleError{Rule: rule, Phrase: phrase, Msg: fmt.Sprintf(format, args...)})
}

// resolve replaces each rule that extends another by the sum of both.
func (c *compiler) resolve(rules []Rule) []Rule {
	byID := map[string]Rule{}
	for _, r := range rules {
		if r.ID == "" {
			c.fail("", "", "a rule has no id")
		}
		if _, twice := byID[r.ID]; twice {
			c.fail(r.ID, "", "this id is used twice")
		}
		byID[r.ID] = r
	}
	out := make([]Rule, 0, len(rules))
	for _, r := range rules {
		full := c.extended(r, byID, len(rules))
		if !full.Abstract && !full.Disabled {
			c.check(full)
		}
		out = append(out, full)
	}
	return out
}

func (c *compiler) extended(r Rule, byID map[string]Rule, depth int) Rule {
	if r.Extends == "" {
		return r
	}
	base, ok := byID[r.Extends]
	if !ok || depth == 0 {
		c.fail(r.ID, "", "extends %q, which is not a rule it can extend", r.Extends)
		return r
	}
	base = c.extended(base, byID, depth-1)
	own := r
	r = base.with(own)
	r.ID, r.Language, r.Extends = own.ID, base.Language, ""
	r.Abstract, r.Disabled = own.Abstract, own.Disabled || base.Disabled
	r.Examples = own.Examples
	r.Except = own.Except
	return r
}

// check finds what makes a rule useless.
func (c *compiler) check(r Rule) {
	if r.Kind != Rejection && r.Kind != Leaver {
		c.fail(r.ID, "", "kind %q is neither %q nor %q", r.Kind, Rejection, Leaver)
	}
	if r.Language == "" {
		c.fail(r.ID, "", "has no language")
	}
	if r.Threshold <= 0 {
		c.fail(r.ID, "", "threshold must be above 0")
	}
	if len(r.Evidence) == 0 {
		c.fail(r.ID, "", "has no evidence, so it can never decide")
	}
	for _, need := range r.Needs {
		if !slices.ContainsFunc(r.Evidence, func(e Clause) bool { return e.ID == need }) {
			c.fail(r.ID, need, "needs evidence that the rule does not list")
		}
	}
	for _, cl := range slices.Concat(r.Evidence, r.Veto) {
		if len(cl.Any) == 0 {
			c.fail(r.ID, cl.ID, "has no phrases under any")
		}
	}
}

// collect puts the word classes of a rule into those of its language.
func (c *compiler) collect(r Rule) {
	b := c.building[r.Language]
	if b == nil {
		b = &lexiconBuilder{squash: r.Language == langJapanese, named: map[string]int{}, seen: map[string]bool{}}
		c.building[r.Language] = b
	}
	b.spelling = mergeMap(b.spelling, r.Spelling)
	for name, phrases := range r.Define {
		id, ok := b.named[name]
		if !ok {
			id = b.newClass()
			b.named[name] = id
		}
		for _, p := range phrases {
			if key := name + "\x00" + p; !b.seen[key] {
				b.seen[key] = true
				b.pending = append(b.pending, pendingPhrase{class: id, rule: r.ID, text: p})
			}
		}
	}
}

// rule gives the clauses of r their classes.
func (c *compiler) rule(r Rule) *compiledRule {
	b := c.building[r.Language]
	out := &compiledRule{Rule: r}
	for _, cl := range r.Evidence {
		out.evidence = append(out.evidence, b.clause(r.ID, cl))
	}
	for _, cl := range r.Veto {
		out.veto = append(out.veto, b.clause(r.ID, cl))
	}
	for _, st := range r.Stages {
		out.stages = append(out.stages, stage{id: st.ID, any: b.list(r.ID, st.Any)})
	}
	return out
}

// lexiconBuilder gathers the phrases of one language.
type lexiconBuilder struct {
	squash   bool
	spelling map[string]string
	named    map[string]int
	seen     map[string]bool
	classes  int
	pending  []pendingPhrase
}

type pendingPhrase struct {
	class int
	rule  string
	text  string
}

func (b *lexiconBuilder) newClass() int {
	b.classes++
	return b.classes - 1
}

// list is a class without a name for the phrases of one list.
func (b *lexiconBuilder) list(rule string, phrases []string) int {
	if len(phrases) == 0 {
		return -1
	}
	id := b.newClass()
	for _, p := range phrases {
		b.pending = append(b.pending, pendingPhrase{class: id, rule: rule, text: p})
	}
	return id
}

func (b *lexiconBuilder) each(rule string, phrases []string) []int {
	var ids []int
	for _, p := range phrases {
		ids = append(ids, b.list(rule, []string{p}))
	}
	return ids
}

func (b *lexiconBuilder) clause(rule string, cl Clause) clause {
	return clause{
		Clause: cl, any: b.list(rule, cl.Any), same: b.each(rule, cl.SameSentence), all: b.each(rule, cl.All),
		unless: b.list(rule, cl.Unless), unlessMail: b.list(rule, cl.UnlessMail),
	}
}

// lexicon is all words of one language in one matcher.
type lexicon struct {
	language  string
	index     int // among the lexicons of the rules
	squash    bool
	spelling  *speller
	gap       int // characters that "…" may stand for
	words     *matcher
	lengths   []int       // of each word in bytes
	uses      [][]wordUse // of each word; none: it is only what an expression needs
	triggers  [][]int32   // of each word: the needs of expressions that it meets
	needs     int         // number of these needs
	sequences []sequence  // classes they refer to come before their own
	starts    [][]int32   // sequences that begin with a class, by class
	regexps   []classRegexp
	classes   int
}

type wordUse struct {
	class  int
	prefix bool // the word may go on
}

type sequence struct {
	class  int
	pieces []int
}

type classRegexp struct {
	class int
	re    *regexp.Regexp
	needs []int32 // met by words of the sentence, or it cannot match
}

// The widest gaps: a clause in Japanese, some twelve words elsewhere.
const (
	gapSquashed = 30
	gapSpaced   = 70
)

// maxExpansion bounds what the alternatives of one phrase multiply to.
const maxExpansion = 4096

// finish turns the gathered phrases into a lexicon.
func (b *lexiconBuilder) finish(c *compiler) *lexicon {
	lex := &lexicon{squash: b.squash, spelling: b.speller(), gap: gapSpaced}
	if b.squash {
		lex.gap = gapSquashed
	}
	words := map[string][]wordUse{}
	// pending grows while sequences add classes for their pieces.
	for i := 0; i < len(b.pending); i++ {
		if err := b.add(lex, words, b.pending[i]); err != nil {
			c.fail(b.pending[i].rule, b.pending[i].text, "%v", err)
		}
	}
	lex.classes = b.classes
	lex.order(func(class int) { c.fail("", "", "a word class refers to itself") })
	triggers := lex.triggering()
	for w := range triggers {
		if _, known := words[w]; !known {
			words[w] = nil
		}
	}
	keys := slices.Sorted(maps.Keys(words))
	for _, w := range keys {
		lex.lengths = append(lex.lengths, len(w))
		lex.uses = append(lex.uses, words[w])
		lex.triggers = append(lex.triggers, triggers[w])
	}
	lex.words = newMatcher(keys)
	return lex
}

// speller folds spelling variants; longer ones first, so that the most specific wins.
func (b *lexiconBuilder) speller() *speller {
	from := make([]string, 0, len(b.spelling))
	for variant := range b.spelling {
		from = append(from, variant)
	}
	slices.SortFunc(from, func(x, y string) int {
		if len(x) != len(y) {
			return len(y) - len(x)
		}
		return strings.Compare(x, y)
	})
	var pairs []string
	for _, variant := range from {
		pairs = append(pairs, b.foldEdges(variant), b.foldEdges(b.spelling[variant]))
	}
	return newSpeller(pairs)
}

// foldEdges folds s and keeps the blanks at its ends where blanks count: "n't"
// is read as " not".
func (b *lexiconBuilder) foldEdges(s string) string {
	folded := fold(s, b.squash)
	if b.squash || folded == "" {
		return folded
	}
	if strings.HasPrefix(s, " ") {
		folded = " " + folded
	}
	if strings.HasSuffix(s, " ") {
		folded += " "
	}
	return folded
}

// add takes one phrase into the lexicon.
func (b *lexiconBuilder) add(lex *lexicon, words map[string][]wordUse, p pendingPhrase) error {
	if expr, ok := strings.CutPrefix(p.text, "re:"); ok {
		re, err := regexp.Compile(strings.TrimSpace(expr))
		if err != nil {
			return fmt.Errorf("compile the expression: %w", err)
		}
		lex.regexps = append(lex.regexps, classRegexp{class: p.class, re: re})
		return nil
	}
	if pieces := splitGaps(p.text); len(pieces) > 1 || strings.HasPrefix(pieces[0], "<") {
		return b.addSequence(lex, p, pieces)
	}
	texts, err := expand(p.text)
	if err != nil {
		return err
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "…<") {
			b.pending = append(b.pending, pendingPhrase{class: p.class, rule: p.rule, text: text})
			continue
		}
		if err := b.addWord(lex, words, p.class, text); err != nil {
			return err
		}
	}
	return nil
}

func (b *lexiconBuilder) addWord(lex *lexicon, words map[string][]wordUse, class int, text string) error {
	word, prefix := strings.CutSuffix(text, "*")
	word = lex.spelling.replace(fold(word, b.squash))
	if word == "" {
		return errors.New("is empty")
	}
	use := wordUse{class, prefix}
	if !slices.Contains(words[word], use) {
		words[word] = append(words[word], use)
	}
	return nil
}

func (b *lexiconBuilder) addSequence(lex *lexicon, p pendingPhrase, pieces []string) error {
	seq := sequence{class: p.class}
	for _, piece := range pieces {
		if name, ok := strings.CutPrefix(piece, "<"); ok && strings.HasSuffix(name, ">") {
			id, known := b.named[strings.TrimSuffix(name, ">")]
			if !known {
				return fmt.Errorf("class %s is not defined", piece)
			}
			seq.pieces = append(seq.pieces, id)
			continue
		}
		if piece == "" || strings.HasPrefix(piece, "<") {
			return errors.New(`write a class alone between gaps, as in "<class> … words", and words on both sides of a gap`)
		}
		id := b.newClass()
		b.pending = append(b.pending, pendingPhrase{class: id, rule: p.rule, text: piece})
		seq.pieces = append(seq.pieces, id)
	}
	lex.sequences = append(lex.sequences, seq)
	return nil
}

// order sorts the sequences so that each comes after those that fill its pieces.
func (lex *lexicon) order(cycle func(class int)) {
	owners := map[int][]int{}
	for i, s := range lex.sequences {
		owners[s.class] = append(owners[s.class], i)
	}
	const visiting, done = 1, 2
	state := make([]int, len(lex.sequences))
	var sorted []sequence
	var visit func(i int)
	visit = func(i int) {
		switch state[i] {
		case visiting:
			cycle(lex.sequences[i].class)
			return
		case done:
			return
		}
		state[i] = visiting
		for _, piece := range lex.sequences[i].pieces {
			for _, j := range owners[piece] {
				visit(j)
			}
		}
		state[i] = done
		sorted = append(sorted, lex.sequences[i])
	}
	for i := range lex.sequences {
		visit(i)
	}
	lex.sequences = sorted
	lex.starts = make([][]int32, lex.classes)
	for i, s := range sorted {
		lex.starts[s.pieces[0]] = append(lex.starts[s.pieces[0]], int32(i))
	}
}

// expand writes out the alternatives of a phrase: "(a|b)c" is "ac" and "bc".
// Brackets nest.
func expand(phrase string) ([]string, error) {
	out := []string{""}
	for phrase != "" {
		open := strings.IndexByte(phrase, '(')
		if open < 0 {
			return appendEach(out, []string{phrase})
		}
		options, rest, err := alternatives(phrase[open:])
		if err != nil {
			return nil, err
		}
		for i := range options {
			options[i] = phrase[:open] + options[i]
		}
		if out, err = appendEach(out, options); err != nil {
			return nil, err
		}
		phrase = rest
	}
	return out, nil
}

// alternatives reads the bracket that s begins with.
func alternatives(s string) (options []string, rest string, err error) {
	depth, from := 0, 1
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
			continue
		case ')':
			depth--
		case '|':
		default:
			continue
		}
		if depth > 1 || depth == 1 && s[i] == ')' {
			continue
		}
		inner, err := expand(s[from:i])
		if err != nil {
			return nil, "", err
		}
		options = append(options, inner...)
		from = i + 1
		if depth == 0 {
			return options, s[from:], nil
		}
	}
	return nil, "", errors.New("a bracket is not closed")
}

// splitGaps cuts a phrase at the gaps that are in no bracket.
func splitGaps(phrase string) []string {
	var pieces []string
	depth, from := 0, 0
	for i, r := range phrase {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case '…':
			if depth == 0 {
				pieces = append(pieces, strings.TrimSpace(phrase[from:i]))
				from = i + len("…")
			}
		}
	}
	return append(pieces, strings.TrimSpace(phrase[from:]))
}

func appendEach(heads, tails []string) ([]string, error) {
	if len(heads)*len(tails) > maxExpansion {
		return nil, fmt.Errorf("its alternatives multiply to more than %d phrases: use classes and gaps", maxExpansion)
	}
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out, nil
}

// runesBetween is the number of characters of s in the gap between two spans,
// whichever comes first; 0 if they overlap.
func runesBetween(s []byte, a, b span) int {
	if a.start > b.start {
		a, b = b, a
	}
	if b.start <= a.end {
		return 0
	}
	return utf8.RuneCount(s[a.end:b.start])
}
