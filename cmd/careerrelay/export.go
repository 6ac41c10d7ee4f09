package main

import (
	"context"
	"fmt"
	"io"

	"github.com/careerrelay/careerrelay/agency"
	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
)

// exportCommand writes the people who were handed over, for the agency's register.
type exportCommand struct {
	Out      string `required:"" help:"Write to this new file, which only you can read." placeholder:"FILE"`
	Format   string `enum:"csv,jsonl" default:"csv" help:"csv (for the register, 求職管理簿) or jsonl (one JSON object per line)."`
	Language string `enum:"ja,en" default:"ja" help:"Of headings and choices in CSV: ja or en."`
	Company  string `help:"Of this company alone." placeholder:"ID"`
	From     moment `help:"Who registered at this time or later: 2026-04-01 (UTC) or 2026-04-01T09:00:00+09:00." placeholder:"TIME"`
	To       moment `help:"Who registered before this time." placeholder:"TIME"`
	HandOver bool   `help:"Also people whom the agency has not got yet. Give it the file: this is their hand-over, and is recorded as such."`
	Config   string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *exportCommand) Run(t *terminal) error {
	job := &exportTask{ExportOptions: agency.ExportOptions{Format: c.Format, Language: c.Language, Company: c.Company,
		From: c.From.Time, Before: c.To.Time, HandOver: c.HandOver}}
	err := privately(c.Out, func(w io.Writer) error { return perform(t, c.Config, "export", job, w) })
	if err != nil {
		return err
	}
	job.Summary = true
	return perform(t, c.Config, "export", job, t.stdout)
}

type exportTask struct {
	agency.ExportOptions
	Summary bool // say in a line what an export holds, and hand nothing over
}

func (e *exportTask) do(ctx context.Context, o *office, out io.Writer) error {
	if e.Company != "" {
		if err := o.knows(ctx, e.Company); err != nil {
			return err
		}
	}
	sealer, err := o.sealer()
	if err != nil {
		return err
	}
	desk := newDesk(o.store, sealer.Open, func() *configs.Config { return o.config })
	if e.Summary {
		e.HandOver = false
		done, err := desk.Export(ctx, io.Discard, e.ExportOptions)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%d people; of %d the profile was deleted after its time; %d more wait for their hand-over\n", done.People, done.Gone, done.Waiting)
		return err
	}
	action := "export people"
	if e.HandOver {
		action = "hand over by export"
	}
	if err := o.note(ctx, store.NoteAccess, action, e.Company, "", e.Format); err != nil {
		return err
	}
	e.Ack = "export by " + o.actor
	_, err = desk.Export(ctx, out, e.ExportOptions)
	return err
}
