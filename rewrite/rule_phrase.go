package rewrite

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Gap is the number of characters that "…" in a phrase stands for at most.
const Gap = 45

// A phrase with more than fewAlternatives is not written out in full: its groups
// of whole words become word classes without a name. Beyond maxAlternatives it
// is refused.
const (
	fewAlternatives = 300
	maxAlternatives = 5000
)

// part is a piece of a phrase: a literal text or the name of a word class.
type part struct {
	text  string
	class bool
	gap   int // characters that may stand before it
}

// parsePhrase gives the alternatives of a phrase, each a list of parts. Classes
// without a name are added to anonymous and called @0, @1 …
func parsePhrase(phrase string, anonymous *[][]string) ([][]part, error) {
	nodes, rest, err := parseNodes(phrase, false)
	if err != nil {
		return nil, fmt.Errorf("phrase %q: %w", phrase, err)
	}
	if rest != "" {
		return nil, fmt.Errorf("phrase %q: a ) without its (", phrase)
	}
	if count(nodes) > fewAlternatives {
		nameGroups(nodes, anonymous)
	}
	if count(nodes) > maxAlternatives {
		return nil, fmt.Errorf("phrase %q: more than %d alternatives", phrase, maxAlternatives)
	}
	var alternatives [][]part
	for _, text := range written(nodes) {
		parts, err := splitParts(text)
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

// node is a stretch of a phrase: text, or a group of alternatives.
type node struct {
	text  string
	group [][]node
}

// parseNodes reads to the end or, if nested, to a | or ) of the group.
func parseNodes(s string, nested bool) (nodes []node, rest string, err error) {
	for s != "" {
		i := strings.IndexAny(s, "(|)")
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			nodes = append(nodes, node{text: s[:i]})
			s = s[i:]
			continue
		}
		if s[0] != '(' {
			if !nested {
				return nil, "", fmt.Errorf("a %c outside parentheses", s[0])
			}
			return nodes, s, nil
		}
		var group node
		if group, s, err = parseGroup(s[1:]); err != nil {
			return nil, "", err
		}
		nodes = append(nodes, group)
	}
	if nested {
		return nil, "", errors.New("a ( without its )")
	}
	return nodes, "", nil
}

func parseGroup(s string) (node, string, error) {
	var g node
	for {
		alternative, rest, err := parseNodes(s, true)
		if err != nil {
			return g, "", err
		}
		g.group = append(g.group, alternative)
		s = rest[1:]
		if rest[0] == ')' {
			return g, s, nil
		}
	}
}

// count is the number of texts that nodes stand for.
func count(nodes []node) int {
	n := 1
	for _, x := range nodes {
		if x.group == nil {
			continue
		}
		sum := 0
		for _, alternative := range x.group {
			sum += count(alternative)
		}
		n = min(n*sum, 1<<30)
	}
	return n
}

// written is every text that nodes stand for.
func written(nodes []node) []string {
	out := []string{""}
	for _, x := range nodes {
		tails := []string{x.text}
		if x.group != nil {
			tails = nil
			for _, alternative := range x.group {
				tails = append(tails, written(alternative)...)
			}
		}
		longer := make([]string, 0, len(out)*len(tails))
		for _, head := range out {
			for _, tail := range tails {
				longer = append(longer, head+tail)
			}
		}
		out = longer
	}
	return out
}

// nameGroups replaces groups of whole words by classes without a name.
func nameGroups(nodes []node, anonymous *[][]string) {
	for i := range nodes {
		g := nodes[i].group
		if len(g) < 3 || !(i == 0 || apart(nodes[i-1], true)) || !edges(g, i+1 == len(nodes) || apart(nodes[i+1], false)) {
			continue
		}
		var members []string
		optional := false
		for _, alternative := range g {
			for _, text := range written(alternative) {
				if strings.TrimSpace(text) == "" {
					optional = true
					continue
				}
				members = append(members, strings.TrimSpace(text))
			}
		}
		named := [][]node{{{text: fmt.Sprintf("<@%d>", len(*anonymous))}}}
		if optional {
			named = append(named, nil)
		}
		*anonymous = append(*anonymous, members)
		nodes[i].group = named
	}
}

// apart tells whether a word can start after n, or end before it.
func apart(n node, before bool) bool {
	for _, text := range written([]node{n}) {
		r, _ := utf8.DecodeRuneInString(text)
		if before {
			r, _ = utf8.DecodeLastRuneInString(text)
		}
		if latin(r) {
			return false
		}
	}
	return true
}

// edges tells whether every alternative is whole words, given whether what
// follows the group lets a word end.
func edges(group [][]node, wordEnds bool) bool {
	for _, alternative := range group {
		for _, text := range written(alternative) {
			last, _ := utf8.DecodeLastRuneInString(text)
			if strings.ContainsAny(text, "<…") || !wordEnds && latin(last) {
				return false
			}
		}
	}
	return true
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
