package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/careerrelay/careerrelay/store"
)

// purgeCommand applies the retention now, or says what it would delete.
type purgeCommand struct {
	DryRun bool   `help:"Count only, delete nothing."`
	JSON   bool   `name:"json" help:"An object for scripts."`
	Config string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *purgeCommand) Run(t *terminal) error {
	return perform(t, c.Config, "purge", &purgeTask{c.DryRun, c.JSON}, t.stdout)
}

type purgeTask struct{ DryRun, JSON bool }

func (p *purgeTask) do(ctx context.Context, o *office, out io.Writer) error {
	keep := retentionOf(o.config.Retention)
	keep.Dry = p.DryRun
	purged, err := o.store.Purge(ctx, keep)
	if !p.DryRun && purged != (store.Purged{}) { // also when it ended early
		if noted := notePurge(context.WithoutCancel(ctx), o.store, o.actor, purged); err == nil {
			err = noted
		}
	}
	if err != nil {
		return err
	}
	if p.JSON {
		return writeJSON(out, purged)
	}
	return printPurged(out, purged, p.DryRun)
}

func printPurged(w io.Writer, p store.Purged, dry bool) error {
	fmt.Fprintln(w, map[bool]string{true: "would be deleted:", false: "deleted:"}[dry])
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		n    int64
		what string
	}{
		{p.Expired, "unused links that end now"},
		{p.Unused, "unused referrals, long after their link ended"},
		{p.Profiles, "profiles that the agency has"},
		{p.Anonymised, "persons behind withdrawn consents"},
		{p.Held, "consents whose confirmation never came"},
		{p.Letters, "messages that the agency never took"},
		{p.Records, "records of consent and hand-over"},
		{p.Notes, "lines of the journal"},
	} {
		fmt.Fprintf(tw, "  %d\t%s\n", row.n, row.what)
	}
	return tw.Flush()
}
