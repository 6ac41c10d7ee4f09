package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/rewrite"
)

// trainCommand learns the model from labelled mails, or tells how good a model
// learnt from them is on mails of an author it has not read.
type trainCommand struct {
	Sets  []string `arg:"" help:"Folders of labelled mails, each by one author: manifest.tsv with mails, or YAML lists." name:"set"`
	Out   string   `help:"Write the model to this file." placeholder:"FILE" xor:"aim" required:""`
	Cross bool     `help:"Write nothing: judge the mails of each set by a model of the other sets, and print the scores." xor:"aim" required:""`
	Wrong bool     `help:"With --cross, name each mail that is judged wrongly, with the evidence."`
}

func (c *trainCommand) Run(t *terminal) error {
	school, err := newSchool(t, c.Sets)
	if err != nil {
		return err
	}
	if c.Cross {
		return school.cross(t.stdout, c.Wrong)
	}
	model := school.train("").Append(nil)
	if err := os.WriteFile(c.Out, model, 0o644); err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	fmt.Fprintf(t.stdout, "%s: %s, %d bytes, SHA-256 %x\n", c.Out, count(len(school.lessons), "mail", "mails"), len(model), sha256.Sum256(model))
	return nil
}

// school has the lessons of all sets.
type school struct {
	rules   *rewrite.Rules
	sets    []string
	lessons []lesson
}

// lesson is a labelled mail of a set, read.
type lesson struct {
	specimen
	set     string
	reading rewrite.Reading
	env     rewrite.Envelope
	lesson  rewrite.Lesson
}

func newSchool(t *terminal, dirs []string) (*school, error) {
	rules, err := configs.LoadRules(configs.BuiltinRules(), "")
	if err != nil {
		return nil, err
	}
	ins, err := newInspector(t, "", "https://relay.example.net")
	if err != nil {
		return nil, err
	}
	s := &school{rules: rules}
	var errs []error
	for _, dir := range dirs {
		samples, err := readSamples(dir)
		errs = append(errs, err)
		s.sets = append(s.sets, filepath.Base(dir))
		for _, one := range samples {
			errs = append(errs, s.take(ins, filepath.Base(dir), one))
		}
	}
	return s, errors.Join(errs...)
}

func (s *school) take(ins *inspector, set string, one specimen) error {
	m, err := rewrite.Parse(bytes.NewReader(one.raw), int64(len(one.raw)), ins.limits)
	if err != nil {
		return fmt.Errorf("%s: %w", one.path, err)
	}
	_, env := ins.envelope(m)
	l := lesson{specimen: one, set: set, reading: m.Reading(), env: env}
	l.lesson = s.rules.Lesson(&l.reading, l.label == string(rewrite.Rejection))
	s.lessons = append(s.lessons, l)
	return nil
}

// train learns from all sets but one. Mails that careful people judge differently
// teach nothing.
func (s *school) train(without string) *rewrite.Model {
	var lessons []rewrite.Lesson
	for _, l := range s.lessons {
		if l.set != without && l.difficulty != "judgement" {
			lessons = append(lessons, l.lesson)
		}
	}
	return rewrite.Train(lessons, rewrite.DefaultTraining())
}

// decide judges the mails of one set.
func (s *school) decide(set string, rules *rewrite.Rules) []judged {
	var rows []judged
	for _, l := range s.lessons {
		if l.set == set {
			rows = append(rows, judged{l.labelled, rewrite.LanguageOf(&l.reading), rules.Decide(&l.reading, l.env)})
		}
	}
	return rows
}

// cross prints the scores of every set, judged by a model of the others, and of
// all together.
func (s *school) cross(w io.Writer, wrong bool) error {
	if len(s.sets) < 2 {
		return errors.New("--cross wants two sets at least: one to judge, and others to learn from")
	}
	var all []judged
	for _, set := range s.sets {
		rows := s.decide(set, s.rules.WithModel(s.train(set)))
		all = append(all, rows...)
		fmt.Fprintf(w, "%s, judged by a model of the other sets\n", set)
		printTable(w, rows, rewrite.Rejection)
		fmt.Fprintln(w)
		for _, j := range rows {
			if wrong && j.wrong() {
				printWrong(w, j)
			}
		}
	}
	fmt.Fprintln(w, "all sets")
	printTable(w, all, rewrite.Rejection)
	printTable(w, all, rewrite.Leaver)
	return nil
}
