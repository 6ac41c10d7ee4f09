package rewrite

import (
	"fmt"
	"strings"
)

// Gap is the number of characters that "…" in a phrase stands for at most.
const Gap = 45

// maxAlternatives bounds what one phrase with (a|b) may expand to.
const maxAlternatives = 4000

// part is a piece of a phrase: a literal text or the name of a word class.
type part struct {
	text  string
	class bool
	gap   int // characters that may stand before it
}

// parsePhrase gives the alternatives of a phrase, each a list of parts.
func parsePhrase(phrase string) ([][]part, error) {
	texts, err := expand(phrase)
	if err != nil {
		return nil, err
	}
	alternatives := make([][]part, 0, len(texts))
	for _, t := range texts {
		parts, err := splitParts(t)
		if err != nil {
			return nil, err
		}
		if len(parts) == 0 {
			return nil, fmt.Errorf("phrase %q can be empty", phrase)
		}
		alternatives = append(alternatives, parts)
	}
	return alternatives, nil
}

// expand writes out the alternatives in parentheses, nested ones included.
func expand(phrase string) ([]string, error) {
	out, _, err := expandUntil(phrase, false)
	if err != nil {
		return nil, fmt.Errorf("phrase %q: %w", phrase, err)
	}
	return out, nil
}

// expandUntil reads to the end or, if nested, to the closing parenthesis.
func expandUntil(s string, nested bool) (out []string, rest string, err error) {
	var done []string
	current := []string{""}
	for {
		i := strings.IndexAny(s, "(|)")
		if i < 0 {
			i = len(s)
		}
		current = product(current, []string{s[:i]})
		if s = s[i:]; s == "" {
			break
		}
		mark := s[0]
		switch {
		case mark == '(':
			var inner []string
			if inner, s, err = expandUntil(s[1:], true); err != nil {
				return nil, "", err
			}
			current = product(current, inner)
		case mark == '|' && nested:
			done, current = append(done, current...), []string{""}
			s = s[1:]
		case mark == ')' && nested:
			return append(done, current...), s[1:], nil
		default:
			return nil, "", fmt.Errorf("a %c outside parentheses", mark)
		}
		if len(current)+len(done) > maxAlternatives {
			return nil, "", fmt.Errorf("more than %d alternatives", maxAlternatives)
		}
	}
	if nested {
		return nil, "", fmt.Errorf("a ( without its )")
	}
	return current, "", nil
}

func product(heads, tails []string) []string {
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out
}

// splitParts cuts a text without parentheses at "…" and at <class>.
func splitParts(text string) ([]part, error) {
	var parts []part
	for i, stretch := range strings.Split(text, "…") {
		gap := 0
		if i > 0 {
			gap = Gap
		}
		for stretch = strings.TrimSpace(stretch); stretch != ""; {
			var p part
			if p.text, stretch = cutPart(stretch); strings.HasPrefix(p.text, "<") {
				name, ok := strings.CutSuffix(p.text[1:], ">")
				if !ok {
					return nil, fmt.Errorf("phrase %q: a < without its >", text)
				}
				p.text, p.class = name, true
			}
			if p.text = strings.TrimSpace(p.text); p.text != "" {
				p.gap, gap = gap, 0
				parts = append(parts, p)
			}
		}
	}
	return parts, nil
}

// cutPart takes one class or one literal off the front.
func cutPart(s string) (head, tail string) {
	end := len(s)
	if s[0] == '<' {
		if i := strings.IndexByte(s, '>'); i > 0 {
			end = i + 1
		}
	} else if i := strings.IndexByte(s, '<'); i > 0 {
		end = i
	}
	return s[:end], s[end:]
}
