package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// redeemCommand uses one credit.
type redeemCommand struct {
	Company string `arg:"" help:"Company id."`
	Note    string `help:"What the introduction is for, such as the kind of work. No names of people." placeholder:"TEXT"`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *redeemCommand) Run(t *terminal) error {
	return perform(t, c.Config, "redeem", &redeemTask{Company: c.Company, Note: c.Note}, t.stdout)
}

type redeemTask struct{ Company, Note string }

func (r *redeemTask) do(ctx context.Context, o *office, out io.Writer) error {
	if err := o.knows(ctx, r.Company); err != nil {
		return err
	}
	if err := o.note(ctx, store.NoteAccess, "redeem", r.Company, "", ""); err != nil {
		return err
	}
	i, err := o.store.Redeem(ctx, r.Company, r.Note)
	if err != nil {
		return err
	}
	c, err := o.store.Credits(ctx, r.Company)
	if err != nil {
		return fmt.Errorf("introduction %d is reserved, but: %w", i.Number, err)
	}
	fmt.Fprintf(out, "introduction %d of %s is reserved; %s left\n", i.Number, r.Company, count64(c.Available(), "credit", "credits"))
	return nil
}

// introductionCommand takes an introduction one step further.
type introductionCommand struct {
	Company string `arg:"" help:"Company id."`
	Number  int64  `arg:"" help:"Number of the introduction."`
	Step    string `arg:"" enum:"introduce,hire,not-hired,close,return" help:"introduce, hire, not-hired, close, or return (gives the credit back)."`
	Note    string `help:"For the ledger. No names of people." placeholder:"TEXT"`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *introductionCommand) Run(t *terminal) error {
	step := store.EntryKind(strings.ReplaceAll(c.Step, "-", "_"))
	return perform(t, c.Config, "introduction", &introductionTask{c.Company, c.Number, step, c.Note}, t.stdout)
}

type introductionTask struct {
	Company string
	Number  int64
	Step    store.EntryKind
	Note    string
}

func (i *introductionTask) do(ctx context.Context, o *office, out io.Writer) error {
	if err := o.knows(ctx, i.Company); err != nil {
		return err
	}
	if err := o.note(ctx, store.NoteAccess, "introduction", i.Company, "", fmt.Sprintf("%d %s", i.Number, i.Step)); err != nil {
		return err
	}
	got, err := o.store.Advance(ctx, i.Company, i.Number, i.Step, i.Note)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "introduction %d of %s: %s\n", got.Number, got.Company, got.State)
	return nil
}

// ledgerCommand prints a company's credits, introductions and ledger.
type ledgerCommand struct {
	Company string `arg:"" help:"Company id."`
	JSON    bool   `name:"json" help:"For scripts: one object with credits, introductions and entries."`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *ledgerCommand) Run(t *terminal) error {
	return perform(t, c.Config, "ledger", &ledgerTask{c.Company, c.JSON}, t.stdout)
}

type ledgerTask struct {
	Company string
	JSON    bool
}

// ledgerOutput is the output of ledger --json.
type ledgerOutput struct {
	Company       string               `json:"company"`
	Credits       store.Credits        `json:"credits"`
	Introductions []store.Introduction `json:"introductions"`
	Entries       []store.Entry        `json:"entries"`
}

func (l *ledgerTask) do(ctx context.Context, o *office, out io.Writer) error {
	if err := o.knows(ctx, l.Company); err != nil {
		return err
	}
	if err := o.note(ctx, store.NoteAccess, "ledger", l.Company, "", ""); err != nil {
		return err
	}
	all := ledgerOutput{Company: l.Company, Introductions: []store.Introduction{}, Entries: []store.Entry{}}
	var err error
	if all.Credits, err = o.store.Credits(ctx, l.Company); err != nil {
		return err
	}
	list, err := o.store.Introductions(ctx, l.Company)
	if err != nil {
		return err
	}
	all.Introductions = append(all.Introductions, list...)
	err = everyLine(ctx, o.store.Entries, l.Company, func(e store.Entry) int64 {
		all.Entries = append(all.Entries, e)
		return e.Seq
	})
	if err != nil {
		return err
	}
	if l.JSON {
		return writeJSON(out, all)
	}
	return printLedger(out, all)
}

// everyLine calls f for each line of a book; f returns the line's number.
func everyLine[T any](ctx context.Context, read func(context.Context, string, int64, int) ([]T, error), company string, f func(T) int64) error {
	for after := int64(0); ; {
		lines, err := read(ctx, company, after, 1000)
		if err != nil || len(lines) == 0 {
			return err
		}
		for _, line := range lines {
			after = f(line)
		}
	}
}

func printLedger(w io.Writer, all ledgerOutput) error {
	fmt.Fprintf(w, "%s: %d counted, %d earned, %d redeemed, %d left\n", all.Company, all.Credits.Counted, all.Credits.Earned,
		all.Credits.Redeemed, all.Credits.Available())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(all.Introductions) > 0 {
		fmt.Fprintln(tw, "\nintroduction\tstate\treserved\tchanged\tnote")
	}
	for _, i := range all.Introductions {
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\n", i.Number, i.State, minute(i.ReservedAt), minute(i.ChangedAt), i.Note)
	}
	if len(all.Entries) > 0 {
		fmt.Fprintln(tw, "\nline\ttime\tentry\twhat\tnote")
	}
	for _, e := range all.Entries {
		what := e.Referral
		switch {
		case len(e.Rows) > 0:
			what = fmt.Sprintf("credit %d by %s", e.Credit, strings.Join(e.Rows, " "))
		case e.Kind == store.EntryUnearn:
			what = fmt.Sprintf("credit %d", e.Credit)
		case e.Credit > 0:
			what = fmt.Sprintf("introduction %d", e.Credit)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\n", e.Seq, minute(e.At), e.Kind, what, e.Note)
	}
	return tw.Flush()
}

// minute is a time in the output of commands, UTC.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }
