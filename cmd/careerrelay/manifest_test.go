package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
)

func TestManifestAndScores(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"ja/manifest.tsv": "file\tlabel\tstage\tdifficulty\treason\nr/1.eml\trejection\tx\teasy\tsays \"no\nr/2.eml\trejection\tx\teasy\ty\n" +
			"o/1.eml\tother\tx\thard\tlooks like one\nl/1.eml\tleaver\tx\teasy\ty\no/2.eml\tother\tx\tjudgement\ty\n",
		"en/manifest.tsv": "label\tfile\r\nother\ta.eml\r\n",
	})
	rows, err := readManifests(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 6 || rows[0].path != filepath.Join(dir, "en/a.eml") || rows[1].reason != `says "no` || rows[3].difficulty != "hard" {
		t.Fatalf("rows = %+v", rows)
	}
	var out strings.Builder
	verdicts := []rewrite.Kind{"none", "rejection", "none", "rejection", "leaver", "rejection"}
	judgements := make([]judged, len(rows))
	for i, kind := range verdicts {
		v := rewrite.Verdict{Kind: kind, Rule: "r", Score: 2, Evidence: []rewrite.Evidence{{ID: "no", Weight: 2, Text: "we\nregret"}}}
		judgements[i] = judged{rows[i], "ja", v}
	}
	printScores(&out, judgements)
	printed := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"easy 2 1 0.500 1 0 1.000",
		"counted 2 1 0.500 3 1 0.500",
		"judgement 0 0 - 1 1 0.000",
		"ja easy 2 1 0.500 1 0 1.000",
		"ja counted 1 1 1.000 4 0 1.000",
		`easy] y rule "r", score 2.0 +2.0 no we regret`,
		"r/2.eml: rejection taken for none [easy] y",
		"o/1.eml: other taken for rejection [hard] looks like one",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "a.eml") || strings.Contains(out.String(), "l/1.eml") {
		t.Errorf("names mails that were judged right:\n%s", out.String())
	}
}

func TestManifestRefused(t *testing.T) {
	for name, text := range map[string]string{"columns": "name\tkind\n", "fields": "file\tlabel\na.eml\n", "empty": ""} {
		dir := t.TempDir()
		writeFiles(t, dir, map[string]string{"manifest.tsv": text})
		if rows, err := readManifests(dir); err == nil {
			t.Errorf("%s: read %d rows", name, len(rows))
		}
	}
	if _, err := readManifests(t.TempDir()); err == nil {
		t.Error("no error without a manifest")
	}
}
