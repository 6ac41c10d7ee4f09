package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// labelled is one line of a manifest.tsv: a mail and what people say it is.
type labelled struct {
	path       string // of the mail
	label      string // rejection, leaver or other
	difficulty string // easy, medium, hard; judgement: careful people differ, not counted
	reason     string
}

// readManifests finds each manifest.tsv at or below dir. Columns: file and
// label; difficulty and reason if there are any.
func readManifests(dir string) ([]labelled, error) {
	var all []labelled
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != "manifest.tsv" {
			return err
		}
		rows, err := readManifest(path)
		all = append(all, rows...)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no manifest.tsv with labels at or below %s", dir)
	}
	return all, err
}

// readManifest reads lines of tab-separated fields; nothing is quoted in them.
func readManifest(path string) ([]labelled, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	head := strings.Split(lines[0], "\t")
	if !slices.Contains(head, "file") || !slices.Contains(head, "label") {
		return nil, fmt.Errorf("read %s: the first line must name the columns file and label", path)
	}
	var rows []labelled
	for i, line := range lines[1:] {
		if line == "" {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != len(head) {
			return nil, fmt.Errorf("%s:%d: has %d fields, the first line has %d", path, i+2, len(fields), len(head))
		}
		column := func(name string) string {
			if i := slices.Index(head, name); i >= 0 {
				return fields[i]
			}
			return ""
		}
		rows = append(rows, labelled{
			path: filepath.Join(filepath.Dir(path), column("file")), label: column("label"),
			difficulty: column("difficulty"), reason: column("reason"),
		})
	}
	return rows, nil
}

// tally counts how verdicts meet labels for one group of mails.
type tally struct {
	rejections, found     int // labelled rejection; of these, taken for one
	others, falsePositive int // everything else; of these, taken for a rejection
}

func (t *tally) add(label, verdict string) {
	hit := verdict == "rejection"
	switch {
	case label == "rejection":
		t.rejections++
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
	fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%s\t\n", name, t.rejections, t.found, ratio(t.found, t.rejections),
		t.others, t.falsePositive, ratio(t.found, t.found+t.falsePositive))
}

// printScores writes precision and recall per difficulty, the leavers, and every
// mail that was taken for something else.
func printScores(w io.Writer, rows []labelled, verdicts []string) {
	groups := map[string]*tally{"easy": {}, "medium": {}, "hard": {}, "counted": {}, "judgement": {}}
	leavers, leaversFound, wrongLeavers := 0, 0, 0
	for i, row := range rows {
		if g := groups[row.difficulty]; g != nil {
			g.add(row.label, verdicts[i])
		}
		if row.difficulty != "judgement" {
			groups["counted"].add(row.label, verdicts[i])
		}
		switch leaver := verdicts[i] == "leaver"; {
		case row.label == "leaver" && leaver:
			leavers, leaversFound = leavers+1, leaversFound+1
		case row.label == "leaver":
			leavers++
		case leaver:
			wrongLeavers++
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\trejections\tfound\trecall\tothers\tfalse positives\tprecision\t")
	for _, name := range []string{"easy", "medium", "hard", "counted", "judgement"} {
		groups[name].print(tw, name)
	}
	tw.Flush()
	fmt.Fprintf(w, "leavers %d, found %d; others taken for leavers %d\n", leavers, leaversFound, wrongLeavers)
	for i, row := range rows {
		if wrong := row.label != verdicts[i] && (row.label != "other" || verdicts[i] != "none"); wrong {
			fmt.Fprintf(w, "%s: %s taken for %s [%s] %s\n", row.path, row.label, verdicts[i], row.difficulty, row.reason)
		}
	}
}
