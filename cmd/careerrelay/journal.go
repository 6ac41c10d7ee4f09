package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// journalCommand prints who did what.
type journalCommand struct {
	Kind    string `help:"access, request or deletion; without it all." enum:",access,request,deletion" default:"" placeholder:"KIND"`
	Company string `help:"Of this company alone." placeholder:"ID"`
	From    moment `help:"At or after this time: 2026-04-01 or 2026-04-01T09:00:00+09:00." placeholder:"TIME"`
	To      moment `help:"Before this time." placeholder:"TIME"`
	Limit   int    `help:"Lines at most, the newest first." default:"100"`
	JSON    bool   `name:"json" help:"One object per line."`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *journalCommand) Run(t *terminal) error {
	return perform(t, c.Config, "journal", &journalTask{JSON: c.JSON, Limit: c.Limit, Query: store.NoteQuery{
		Kind: store.NoteKind(c.Kind), Company: c.Company, From: c.From.Time, Before: c.To.Time}}, t.stdout)
}

// moment is a time on the command line: a day, which begins in UTC, or an instant.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, string(text)); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a time: write 2026-04-01 (UTC) or 2026-04-01T09:00:00+09:00", text)
}

type journalTask struct {
	Query store.NoteQuery
	Limit int
	JSON  bool
}

func (j *journalTask) do(ctx context.Context, o *office, out io.Writer) error {
	if err := o.note(ctx, store.NoteAccess, "journal", j.Query.Company, "", ""); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	q := j.Query
	for left := j.Limit; left > 0; {
		q.Limit = min(left, 1000)
		notes, err := o.store.Notes(ctx, q)
		if err != nil {
			return err
		}
		for _, n := range notes {
			q.Below = n.Seq
			if j.JSON {
				err = lines.Encode(n)
			} else {
				_, err = fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.Seq, minute(n.At), n.Kind, n.Actor, n.Action, n.Company, n.Referral, n.Detail)
			}
			if err != nil {
				return err
			}
		}
		if left -= len(notes); len(notes) < q.Limit {
			break
		}
	}
	return tw.Flush()
}
