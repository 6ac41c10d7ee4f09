package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/careerrelay/careerrelay/rewrite"
)

// explainCommand says for one mail what the relay would do, and why. Its output
// quotes the mail: it is for a person's eyes, not for logs.
type explainCommand struct {
	File      string `arg:"" help:"The mail; - reads standard input."`
	Config    string `help:"Configuration file; without it a sample company owns the sender's domain." placeholder:"FILE"`
	JSON      bool   `name:"json" help:"One JSON object."`
	PublicURL string `name:"public-url" help:"What links begin with, without --config." default:"https://relay.example.net" placeholder:"URL"`
}

// explanation is what explain --json prints.
type explanation struct {
	replayLine
	Stage      string             `json:"stage"`
	Subject    string             `json:"subject"`
	Evidence   []evidenceLine     `json:"evidence"`
	Parts      []partLine         `json:"parts"`
	Insertions []rewrite.Inserted `json:"insertions"`
}

type evidenceLine struct {
	ID       string  `json:"id"`
	Weight   float64 `json:"weight"`
	Text     string  `json:"text"`
	Sentence int     `json:"sentence"` // -1: a header
}

type partLine struct {
	Depth    int    `json:"depth"`
	Type     string `json:"type"`
	Charset  string `json:"charset,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	Filename string `json:"filename,omitempty"`
	Bytes    int64  `json:"bytes"`
	Edited   bool   `json:"edited"`
	Why      string `json:"why,omitempty"` // it is not a place for the block
}

func (c *explainCommand) Run(t *terminal) error {
	ins, err := newInspector(t, c.Config, c.PublicURL)
	if err != nil {
		return err
	}
	raw, err := c.read(t)
	if err != nil {
		return err
	}
	f, err := ins.inspect(raw)
	if err != nil {
		return err
	}
	e, after, err := explain(f)
	if err != nil {
		return err
	}
	e.File = c.File
	if c.JSON {
		return writeJSON(t.stdout, e)
	}
	e.print(paper{t.stdout, colourful(t.stdout)}, raw, after)
	return nil
}

func (c *explainCommand) read(t *terminal) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(t.stdin)
	}
	return os.ReadFile(c.File)
}

// explain also returns the edited mail, nil if it passes.
func explain(f finding) (explanation, []byte, error) {
	e := explanation{Stage: f.verdict.Stage, Subject: f.reading.Subject, Evidence: []evidenceLine{}, Insertions: []rewrite.Inserted{}}
	e.replayLine = f.line()
	for _, v := range f.verdict.Evidence {
		e.Evidence = append(e.Evidence, evidenceLine{v.ID, v.Weight, v.Text, v.Sentence})
	}
	edits := []rewrite.Edit{}
	var after []byte
	if f.edited != nil {
		edits = f.edited.Edits()
		var b bytes.Buffer
		if _, err := f.WriteTo(&b); err != nil {
			return e, nil, err
		}
		after = b.Bytes()
		inserted, err := rewrite.Compare(bytes.NewReader(f.raw), int64(len(f.raw)), bytes.NewReader(after), int64(len(after)))
		if err != nil {
			return e, nil, fmt.Errorf("prove from outside: %w", err)
		}
		e.Insertions = inserted
	}
	for _, o := range f.message.Outline() {
		e.Parts = append(e.Parts, partOf(o, edits))
	}
	return e, after, nil
}

func partOf(o rewrite.OutlinePart, edits []rewrite.Edit) partLine {
	p := o.Part
	line := partLine{Depth: p.Depth, Type: p.MediaType, Charset: p.Params["charset"], Filename: p.Filename, Bytes: p.Body.Len(), Why: rewrite.OutlineReasons()[o.Why]}
	if p.Multipart() {
		return line
	}
	line.Encoding = p.Encoding
	for _, e := range edits {
		if e.Start >= p.Body.Start && e.End <= p.Body.End {
			line.Edited = true
		}
	}
	return line
}

// paper is where an explanation is printed.
type paper struct {
	io.Writer
	colour bool
}

// colourful tells whether w is a terminal whose user did not ask for plain text
// (https://no-color.org).
func colourful(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	bold  = "1"
	green = "32"
	red   = "31"
	faint = "2"
)

func (p paper) in(style, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (e explanation) print(p paper, before, after []byte) {
	fmt.Fprintf(p, "%s %s\n", p.in(bold, "subject "), e.Subject)
	fmt.Fprintf(p, "%s %s", p.in(bold, "verdict "), e.Verdict)
	if e.Rule != "" {
		fmt.Fprintf(p, ", rule %s, score %.1f, language %s", e.Rule, e.Score, cmp.Or(e.Language, "unknown"))
	}
	if e.Stage != "" {
		fmt.Fprintf(p, ", stage %s", e.Stage)
	}
	fmt.Fprintf(p, "\n%s %s", p.in(bold, "action  "), e.Action)
	if e.Reason != "" {
		fmt.Fprintf(p, ": %s", e.Reason)
		if meaning := rewrite.Reasons()[e.Reason]; meaning != "" {
			fmt.Fprintf(p, " (%s)", meaning)
		}
	}
	fmt.Fprintf(p, "\n\n%s\n", p.in(bold, "evidence"))
	e.printEvidence(p)
	fmt.Fprintf(p, "\n%s\n", p.in(bold, "parts"))
	e.printParts(p)
	if after != nil {
		old, now := readParts(before), readParts(after)
		for _, in := range e.Insertions {
			printSigned(p, in)
		}
		printContext(p, "plain text", addition(old.Text, now.Text))
		printContext(p, "HTML", addition(old.HTML, now.HTML))
	}
}

// printSigned says which signatures give way to the relay's.
func printSigned(w io.Writer, in rewrite.Inserted) {
	if in.Replaced > 0 {
		fmt.Fprintf(w, "\n%s: %s replaced by the relay's own\n", in.Part, count(in.Replaced, "signature", "signatures"))
	}
}

func (e explanation) printEvidence(p paper) {
	for _, v := range e.Evidence {
		style, place := green, fmt.Sprintf("sentence %d", v.Sentence+1)
		if v.Weight < 0 {
			style = red
		}
		if v.Sentence < 0 {
			place = "header"
		}
		fmt.Fprintf(p, "  %s  %s (%s)\n", p.in(style, fmt.Sprintf("%+5.1f  %s", v.Weight, v.ID)), strings.Join(strings.Fields(v.Text), " "), place)
	}
	if len(e.Evidence) == 0 {
		fmt.Fprintln(p, "  none")
	}
}

func (e explanation) printParts(p paper) {
	for _, part := range e.Parts {
		about := []string{part.Type}
		for _, word := range []string{part.Charset, part.Encoding, part.Filename} {
			if word != "" {
				about = append(about, word)
			}
		}
		line := fmt.Sprintf("%s%s, %d bytes", strings.Repeat("  ", part.Depth+1), strings.Join(about, ", "), part.Bytes)
		if part.Edited {
			line += p.in(green, "  <- edited")
		}
		if part.Why != "" {
			line += "  (not here: " + part.Why + ")"
		}
		fmt.Fprintln(p, line)
	}
}

// contextLines is how many lines of the mail are shown on each side of a block.
const contextLines = 3

// printContext shows an insertion between the lines around it.
func printContext(p paper, name string, pieces []piece) {
	if len(pieces) != 3 {
		return
	}
	fmt.Fprintf(p, "\n%s %s\n", p.in(bold, "insertion in the"), p.in(bold, name))
	before, after := splitLines(pieces[0].Text), splitLines(pieces[2].Text)
	for _, line := range before[max(0, len(before)-contextLines):] {
		fmt.Fprintln(p, "   ", p.in(faint, line))
	}
	for _, line := range splitLines(pieces[1].Text) {
		fmt.Fprintln(p, "  +", p.in(green, line))
	}
	for _, line := range after[:min(contextLines, len(after))] {
		fmt.Fprintln(p, "   ", p.in(faint, line))
	}
}

func splitLines(text string) []string {
	return strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
}
