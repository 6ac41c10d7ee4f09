package main

import (
	"fmt"
	"os"
)

// scoreCommand compares verdicts with what people say the mails are.
type scoreCommand struct {
	Dir    string `arg:"" help:"Folder with manifest.tsv files and the mails they name."`
	Config string `help:"Configuration file; without it the shipped rules." placeholder:"FILE"`
}

func (c *scoreCommand) Run(t *terminal) error {
	ins, err := newInspector(t, c.Config, "https://relay.example.net")
	if err != nil {
		return err
	}
	rows, err := readManifests(c.Dir)
	if err != nil {
		return err
	}
	verdicts := make([]string, len(rows))
	for i, row := range rows {
		raw, err := os.ReadFile(row.path)
		if err != nil {
			return err
		}
		f, err := ins.inspect(raw)
		if err != nil {
			fmt.Fprintf(t.stderr, "careerrelay: %s: %v\n", row.path, err)
		}
		verdicts[i] = string(f.verdict.Kind)
	}
	printScores(t.stdout, rows, verdicts)
	return nil
}
