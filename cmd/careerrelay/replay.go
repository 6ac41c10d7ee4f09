package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/careerrelay/careerrelay/rewrite"
)

// replayCommand decides and edits stored mails without sending anything.
type replayCommand struct {
	Paths     []string `arg:"" help:"Mails: .eml files, mbox files, Maildirs, folders." name:"path"`
	Config    string   `help:"Configuration file; without it a sample company owns each sender's domain." placeholder:"FILE"`
	JSON      bool     `name:"json" help:"One JSON object per mail, for scripts."`
	Out       string   `help:"Write each mail as it would go upstream, below this folder." placeholder:"DIR"`
	PublicURL string   `name:"public-url" help:"What links begin with, without --config." default:"https://relay.example.net" placeholder:"URL"`
}

// replayLine is the verdict on one mail: a contract for scripts.
type replayLine struct {
	File     string  `json:"file"`
	Verdict  string  `json:"verdict"` // rejection, leaver or none
	Rule     string  `json:"rule"`
	Score    float64 `json:"score"`
	Language string  `json:"language"`
	Action   string  `json:"action"` // insert or pass
	Reason   string  `json:"reason"` // why it passes
	Link     string  `json:"link"`
}

func (c *replayCommand) Run(t *terminal) error {
	ins, err := newInspector(t, c.Config, c.PublicURL)
	if err != nil {
		return err
	}
	files, err := mailFiles(c.Paths)
	if err != nil {
		return err
	}
	if err := c.distinct(files); err != nil {
		return err
	}
	failed := 0
	totals := map[string]int{}
	for _, file := range files {
		if err := t.ctx.Err(); err != nil {
			return fmt.Errorf("stopped after %s: %w", count(totals["insert"]+totals["pass"], "mail", "mails"), err)
		}
		line, err := c.replay(ins, file)
		if err != nil {
			fmt.Fprintf(t.stderr, "careerrelay: %s: %v\n", file.path, err)
			failed++
		}
		totals[line.Action]++
		if err := c.print(t.stdout, line); err != nil {
			return err
		}
	}
	if !c.JSON {
		fmt.Fprintf(t.stdout, "%s: link in %d, %d unedited\n", count(len(files), "mail", "mails"), totals["insert"], totals["pass"])
	}
	if failed > 0 {
		return fmt.Errorf("%s failed", count(failed, "mail", "mails"))
	}
	return nil
}

// distinct refuses mails that --out would write over each other.
func (c *replayCommand) distinct(files []mailFile) error {
	if c.Out == "" {
		return nil
	}
	seen := map[string]string{}
	for _, f := range files {
		if first, twice := seen[f.name]; twice {
			return fmt.Errorf("%s and %s would both become %s: give each folder its own run and --out",
				first, f.path, filepath.Join(c.Out, f.name))
		}
		seen[f.name] = f.path
	}
	return nil
}

// replay judges one mail. A failure of ours is what the relay would make of it:
// the mail passes unedited, with the failed step as the reason.
func (c *replayCommand) replay(ins *inspector, file mailFile) (replayLine, error) {
	raw, err := file.read()
	if err != nil {
		return replayLine{File: file.path, Verdict: string(rewrite.None), Action: "pass", Reason: "unreadable"}, err
	}
	f, err := ins.inspect(raw)
	if err != nil {
		f.reason = "failed"
	}
	line := f.line()
	line.File = file.path
	return line, errors.Join(err, c.write(file, f))
}

// line is the finding in one line.
func (f finding) line() replayLine {
	l := replayLine{
		Verdict: cmp.Or(string(f.verdict.Kind), string(rewrite.None)), Rule: f.verdict.Rule, Score: f.verdict.Score,
		Language: f.verdict.Language, Action: "pass", Reason: f.reason,
	}
	if f.edited != nil {
		l.Action, l.Link = "insert", f.link
	}
	return l
}

// write puts the mail as it would go upstream below --out.
func (c *replayCommand) write(file mailFile, f finding) error {
	if c.Out == "" {
		return nil
	}
	path := filepath.Join(c.Out, file.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if f.edited == nil {
		return os.WriteFile(path, f.raw, 0o644)
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	_, err = f.WriteTo(out)
	return errors.Join(err, out.Close())
}

func (c *replayCommand) print(w io.Writer, l replayLine) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(l)
	}
	what := l.Reason
	if l.Action == "insert" {
		what = l.Link
	}
	_, err := fmt.Fprintf(w, "%-6s %-9s %-24s %s  %s\n", l.Action, l.Verdict, l.Rule, l.File, what)
	return err
}
