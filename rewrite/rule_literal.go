package rewrite

import (
	"cmp"
	"regexp/syntax"
	"slices"
)

// triggering maps words to the needs of expressions: the one pass over a text
// finds them too, so that an expression costs nothing in a sentence that lacks
// what it needs.
func (lex *lexicon) triggering() map[string][]int32 {
	triggers := map[string][]int32{}
	for i := range lex.regexps {
		re := &lex.regexps[i]
		for _, words := range literals(re.re.String()) {
			need := int32(lex.needs)
			lex.needs++
			re.needs = append(re.needs, need)
			for _, w := range words {
				triggers[w] = append(triggers[w], need)
			}
		}
	}
	return triggers
}

const (
	maxLiterals = 128 // words of one set
	maxNeeds    = 2   // sets for one expression
)

// literals are sets of words: every match of the expression has a word of each
// of them. There are none if no such words are known.
func literals(expr string) [][]string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	sets := required(re.Simplify())
	slices.SortStableFunc(sets, func(a, b []string) int { return cmp.Compare(rarity(b), rarity(a)) })
	return sets[:min(len(sets), maxNeeds)]
}

// required finds all sets that hold for re.
func required(re *syntax.Regexp) [][]string {
	if words := exact(re); words != nil {
		return useful(words)
	}
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpConcat:
		return requiredInTurn(re.Sub)
	case syntax.OpAlternate:
		return requiredOfAny(re.Sub)
	}
	return nil
}

// requiredInTurn joins neighbours that are words into longer words.
func requiredInTurn(subs []*syntax.Regexp) [][]string {
	var sets [][]string
	joined := []string{""}
	for _, sub := range subs {
		words := exact(sub)
		if longer := cross(joined, words); longer != nil {
			joined = longer
			continue
		}
		sets = append(sets, useful(joined)...)
		if joined = words; words == nil {
			joined = []string{""}
			sets = append(sets, required(sub)...)
		}
	}
	return append(sets, useful(joined)...)
}

// requiredOfAny takes the best set of each alternative together.
func requiredOfAny(subs []*syntax.Regexp) [][]string {
	var all []string
	for _, sub := range subs {
		sets := required(sub)
		if len(sets) == 0 {
			return nil
		}
		all = append(all, slices.MaxFunc(sets, func(a, b []string) int { return cmp.Compare(rarity(a), rarity(b)) })...)
	}
	return useful(distinct(all))
}

// exact is all that re can match, if these are few words; nil if not. What
// matches a place only, such as $, counts as the empty word.
func exact(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []string{string(re.Rune)}
		}
	case syntax.OpCharClass:
		return members(re.Rune)
	case syntax.OpCapture:
		return exact(re.Sub[0])
	case syntax.OpQuest:
		if words := exact(re.Sub[0]); words != nil {
			return distinct(append(words, ""))
		}
	case syntax.OpConcat:
		words := []string{""}
		for _, sub := range re.Sub {
			words = cross(words, exact(sub))
		}
		return words
	case syntax.OpAlternate:
		var words []string
		for _, sub := range re.Sub {
			more := exact(sub)
			if more == nil {
				return nil
			}
			words = append(words, more...)
		}
		return distinct(words)
	}
	return nil
}

// cross is every word of a followed by every word of b; nil if they are too many.
func cross(a, b []string) []string {
	if a == nil || b == nil || len(a)*len(b) > maxLiterals {
		return nil
	}
	words := make([]string, 0, len(a)*len(b))
	for _, head := range a {
		for _, tail := range b {
			words = append(words, head+tail)
		}
	}
	return distinct(words)
}

// members are the characters of a class, if they are few.
func members(ranges []rune) []string {
	var out []string
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if out = append(out, string(r)); len(out) > 8 {
				return nil
			}
		}
	}
	return out
}

// distinct sorts words and takes out those that are there twice.
func distinct(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

// useful is the set alone, or nothing: a set with the empty word says nothing.
func useful(words []string) [][]string {
	if len(words) == 0 || len(words) > maxLiterals || slices.Contains(words, "") {
		return nil
	}
	return [][]string{words}
}

// rarity guesses how rarely one of the words is met: by the commonest of them.
// A kana says as little as a Latin letter, and less than a kanji.
func rarity(words []string) int {
	least := 0
	for i, w := range words {
		weight := 0
		for _, r := range w {
			if weight++; isPlainHan(r) {
				weight += 2
			}
		}
		if i == 0 || weight < least {
			least = weight
		}
	}
	return least
}
