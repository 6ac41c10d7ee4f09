package rewrite

import (
	"regexp/syntax"
	"slices"
)

// triggering maps words to the expressions that can match only where the word
// stands: the one pass over a text finds them too, so that an expression costs
// nothing in all other sentences. What has no such words is run always.
func (lex *lexicon) triggering() map[string][]int32 {
	triggers := map[string][]int32{}
	lex.always = newBits(len(lex.regexps))
	for i, re := range lex.regexps {
		number := []int32{int32(i)}
		words := literals(re.re.String())
		if len(words) == 0 {
			lex.always.set(number)
		}
		for _, w := range words {
			triggers[w] = append(triggers[w], number...)
		}
	}
	return triggers
}

// maxLiterals bounds the words that stand for one expression.
const maxLiterals = 128

// literals are distinct words of which every match of an expression has at
// least one; none if no such words are known.
func literals(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return required(re.Simplify())
}

func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []string{string(re.Rune)}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpCharClass:
		return members(re.Rune)
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if words := required(sub); rarer(words, best) {
				best = words
			}
		}
		return best
	case syntax.OpAlternate:
		return requiredOfAny(re.Sub)
	}
	return nil
}

// requiredOfAny are the words of all alternatives together.
func requiredOfAny(subs []*syntax.Regexp) []string {
	var all []string
	for _, sub := range subs {
		words := required(sub)
		if len(words) == 0 {
			return nil
		}
		all = append(all, words...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > maxLiterals {
		return nil
	}
	return all
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

// rarer guesses which words are found less often: long ones, then few.
func rarer(words, than []string) bool {
	if len(words) == 0 || len(than) == 0 {
		return len(words) > 0
	}
	a, b := shortest(words), shortest(than)
	return a > b || a == b && len(words) < len(than)
}

func shortest(words []string) int {
	n := len(words[0])
	for _, w := range words {
		n = min(n, len(w))
	}
	return n
}
