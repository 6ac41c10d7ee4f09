package main

import (
	"cmp"
	"fmt"

	"github.com/careerrelay/careerrelay/rewrite"
)

// scoreCommand compares verdicts with what people say the mails are. It quotes
// the mails that were judged wrongly: it is for a person's eyes, not for logs.
type scoreCommand struct {
	Dir    string `arg:"" help:"Folder of labelled mails: manifest.tsv files and the mails they name, or YAML lists."`
	Config string `help:"Configuration file; without it the shipped rules." placeholder:"FILE"`
	Totals bool   `help:"Only the tables: no mail is named or quoted."`
}

func (c *scoreCommand) Run(t *terminal) error {
	ins, err := newInspector(t, c.Config, "https://relay.example.net")
	if err != nil {
		return err
	}
	samples, err := readSamples(c.Dir)
	if err != nil {
		return err
	}
	rows := make([]judged, len(samples))
	for i, one := range samples {
		f, err := ins.inspect(one.raw)
		if err != nil {
			fmt.Fprintf(t.stderr, "careerrelay: %s: %v\n", one.path, err)
		}
		f.verdict.Kind = cmp.Or(f.verdict.Kind, rewrite.None)
		rows[i] = judged{one.labelled, rewrite.LanguageOf(&f.reading), f.verdict}
	}
	if c.Totals {
		printTable(t.stdout, rows, rewrite.Rejection)
		printTable(t.stdout, rows, rewrite.Leaver)
		return nil
	}
	printScores(t.stdout, rows)
	return nil
}
