package configs

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/width"
)

// Problem is one mistake in a file an admin edits: where it is, what is wrong
// and what to do next.
type Problem struct {
	File    string // as the admin named it
	Line    int    // 1-based; 0 if unknown
	Column  int    // 1-based, in characters; 0 if unknown
	Key     string // path of the key, such as companies[0].upstream[1]; "" if none
	Msg     string // what is wrong
	Hint    string // what to do next; "" if Msg says it
	Source  string // that line of the file, for the excerpt; "" if unknown
	Warning bool   // worth knowing, but the file can be used
}

// String is the problem as a compiler would print it: place and key, what is
// wrong, the line with a caret, what to do.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.place())
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Msg)
	b.WriteString(p.excerpt())
	if p.Hint != "" {
		b.WriteString("\n    " + p.Hint)
	}
	return b.String()
}

func (p Problem) place() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File + ": "
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: ", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
}

// excerpt is the line and a caret below the column. Wide characters before the
// caret are matched by ideographic spaces, so that it points right in a terminal.
func (p Problem) excerpt() string {
	if p.Source == "" || p.Line == 0 {
		return ""
	}
	number := fmt.Sprintf("%5d", p.Line)
	out := "\n" + number + " | " + strings.TrimRight(p.Source, "\r\n")
	if p.Column == 0 {
		return out
	}
	out += "\n" + strings.Repeat(" ", len(number)) + " | "
	for i, r := range []rune(p.Source) {
		if i == p.Column-1 {
			break
		}
		out += string(blankLike(r))
	}
	return out + "^"
}

// blankLike is a blank as wide as r on a terminal.
func blankLike(r rune) rune {
	if r == '\t' {
		return r
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return '\u3000'
	}
	return ' '
}

// Problems is every mistake of one load, in file order. It is an error whose
// text has one paragraph per problem, with an excerpt of the file.
type Problems []Problem

func (ps Problems) Error() string {
	paragraphs := make([]string, len(ps))
	for i, p := range ps {
		paragraphs[i] = p.String()
	}
	return strings.Join(paragraphs, "\n")
}

// Mistakes are the problems that make the file unusable.
func (ps Problems) Mistakes() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Warning })
}

// Warnings are the problems that do not.
func (ps Problems) Warnings() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return !p.Warning })
}

// private is a line that may hold a password: it is never quoted, since
// problems end in logs.
var private = regexp.MustCompile(`(?i)pass|hash|://[^/\s]*@`)

// inFile sorts the problems of one file and quotes its lines for the excerpts.
func (ps Problems) inFile(src []byte) Problems {
	lines := strings.Split(strings.TrimPrefix(string(src), "\ufeff"), "\n")
	for i := range ps {
		if n := ps[i].Line; n > 0 && n <= len(lines) && !private.MatchString(lines[n-1]) {
			ps[i].Source = strings.TrimRight(lines[n-1], "\r")
		}
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}
