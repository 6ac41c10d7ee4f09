package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/careerrelay/careerrelay/rewrite"
)

// judged is a labelled mail and what the rules say of it.
type judged struct {
	labelled
	language string // that most of its text is in
	verdict  rewrite.Verdict
}

func (j judged) kind() string { return string(j.verdict.Kind) }

// wrong reports whether verdict and label differ: a label that is no kind of ours,
// such as other, means none.
func (j judged) wrong() bool {
	label := j.label
	if label != string(rewrite.Rejection) && label != string(rewrite.Leaver) {
		label = string(rewrite.None)
	}
	return label != j.kind()
}

// tally counts how verdicts meet labels of one kind.
type tally struct {
	wanted, found         int // labelled so; of these, taken for it
	others, falsePositive int // everything else; of these, taken for it
}

func (t *tally) add(j judged, kind rewrite.Kind) {
	hit := j.verdict.Kind == kind
	switch {
	case j.label == string(kind):
		t.wanted++
		if hit {
			t.found++
		}
	default:
		t.others++
		if hit {
			t.falsePositive++
		}
	}
}

// ratio is a/b as text; "-" if there is nothing to divide by.
func ratio(a, b int) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(a)/float64(b))
}

func (t tally) print(w io.Writer, name string) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%s\t\n", name, t.wanted, t.found, ratio(t.found, t.wanted),
		t.others, t.falsePositive, ratio(t.found, t.found+t.falsePositive))
}

// difficulties in the order they are printed in; of judgement careful people
// differ, so it is in no sum.
const judgement = "judgement"

func difficulties() []string { return []string{"easy", "medium", "hard", judgement} }

// printTable writes precision and recall of one kind: for all mails and for each
// language, by difficulty and in sum.
func printTable(w io.Writer, rows []judged, kind rewrite.Kind) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "%s\tlabelled\tfound\trecall\tothers\tfalse positives\tprecision\t\n", kind)
	printGroup(tw, rows, kind, "")
	for _, language := range languagesOf(rows) {
		printGroup(tw, rows, kind, language)
	}
	tw.Flush()
}

func printGroup(w io.Writer, rows []judged, kind rewrite.Kind, language string) {
	groups, sum := map[string]*tally{}, tally{}
	for _, j := range rows {
		if language != "" && j.language != language {
			continue
		}
		if groups[j.difficulty] == nil {
			groups[j.difficulty] = &tally{}
		}
		groups[j.difficulty].add(j, kind)
		if j.difficulty != judgement {
			sum.add(j, kind)
		}
	}
	for _, difficulty := range difficulties() {
		if g := groups[difficulty]; g != nil {
			g.print(w, strings.TrimSpace(language+" "+difficulty))
		}
	}
	sum.print(w, strings.TrimSpace(language+" counted"))
}

func languagesOf(rows []judged) []string {
	var languages []string
	for _, j := range rows {
		if j.language != "" && !slices.Contains(languages, j.language) {
			languages = append(languages, j.language)
		}
	}
	slices.Sort(languages)
	return languages
}

// printScores writes the tables of both kinds and every mail that was taken for
// something else, with the evidence for what was said of it.
func printScores(w io.Writer, rows []judged) {
	for _, kind := range []rewrite.Kind{rewrite.Rejection, rewrite.Leaver} {
		printTable(w, rows, kind)
		fmt.Fprintln(w)
	}
	for _, j := range rows {
		if j.wrong() {
			printWrong(w, j)
		}
	}
}

func printWrong(w io.Writer, j judged) {
	fmt.Fprintf(w, "%s: %s taken for %s [%s] %s\n", j.path, j.label, j.kind(), j.difficulty, j.reason)
	fmt.Fprintf(w, "    rule %q, score %.1f %s\n", j.verdict.Rule, j.verdict.Score, j.verdict.Reason)
	for _, e := range j.verdict.Evidence {
		fmt.Fprintf(w, "    %+5.1f  %s  %s\n", e.Weight, e.ID, strings.Join(strings.Fields(e.Text), " "))
	}
}
