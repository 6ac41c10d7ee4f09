package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
)

// auditCommand verifies the books; 0 if nothing is wrong.
type auditCommand struct {
	Config string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
	File   string `help:"Audit this backup, or this copy of a database file, instead of the relay's." placeholder:"BACKUP"`
	Noted  string `help:"Output of an earlier audit --json: nothing before its heads may have changed." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"The report for scripts, and for --noted of a later audit."`
}

func (c *auditCommand) Run(t *terminal) error {
	job := &auditTask{JSON: c.JSON}
	if c.Noted != "" {
		raw, err := os.ReadFile(c.Noted)
		if err != nil {
			return fmt.Errorf("read the earlier audit: %w", err)
		}
		job.Noted = new(store.AuditReport)
		if err := json.Unmarshal(raw, job.Noted); err != nil {
			return fmt.Errorf("read the earlier audit: %s is not the output of audit --json: %w", c.Noted, err)
		}
	}
	if c.File == "" {
		return perform(t, c.Config, "audit", job, t.stdout)
	}
	job.Copy = true
	return withCopy(t.ctx, c.File, func(s store.Full) error {
		return job.do(t.ctx, &office{store: s, config: new(configs.Config)}, t.stdout)
	})
}

// auditTask reads everything and prints what is wrong, and the heads of all
// chains.
type auditTask struct {
	JSON  bool
	Noted *store.AuditReport // an earlier report to compare with, or nil
	Copy  bool               // of a database: nobody writes into its journal
}

func (a *auditTask) do(ctx context.Context, o *office, out io.Writer) error {
	if !a.Copy {
		if err := o.note(ctx, store.NoteAccess, "audit", "", "", ""); err != nil {
			fmt.Fprintf(out, "the audit goes on, but is not in the journal: %v\n", err)
		}
	}
	rep, err := o.store.Audit(ctx)
	if err != nil {
		return err
	}
	if a.Noted != nil {
		if err := compareHeads(ctx, o.store, *a.Noted, &rep); err != nil {
			return err
		}
	}
	if a.JSON {
		err = writeJSON(out, rep)
	} else {
		printAudit(out, rep)
	}
	if err == nil && !rep.OK() {
		err = errSaid
	}
	return err
}

func printAudit(w io.Writer, rep store.AuditReport) {
	for _, c := range rep.Companies {
		fmt.Fprintf(w, "%s: %d counted, %d earned", c.Company, c.Counted, c.Earned)
		if len(c.PerCredit) > 0 {
			fmt.Fprintf(w, " (by %s each)", numbers(c.PerCredit))
		}
		fmt.Fprintf(w, ", %d redeemed\n", c.Redeemed)
		fmt.Fprintf(w, "  ledger    %6d  %s\n  consents  %6d  %s\n", c.Entries, head(c.Head), c.Records, head(c.Proof))
	}
	fmt.Fprintf(w, "journal     %6d  %s\n", rep.Journal.Lines, head(rep.Journal.Head))
	fmt.Fprintf(w, "%s checked\n", count64(rep.Referrals, "referral", "referrals"))
	for _, p := range rep.Problems {
		fmt.Fprintln(w, "WRONG:", p)
	}
	if rep.OK() {
		fmt.Fprintln(w, "Nothing is wrong. Note the heads elsewhere: a later audit can compare with them.")
	} else {
		fmt.Fprintf(w, "%s. Keep the file as it is, and compare with a backup.\n", count(len(rep.Problems), "thing is wrong", "things are wrong"))
	}
}

func head(hash string) string {
	if hash == "" {
		return "(empty)"
	}
	return hash
}

func numbers(all []int) string {
	text := ""
	for i, n := range all {
		if i > 0 {
			text += " or "
		}
		text += fmt.Sprint(n)
	}
	return text
}

func count64(n int64, one, many string) string { return count(int(n), one, many) }

// compareHeads finds chains that no longer hold what an earlier audit saw: also
// the work of somebody who hashed the whole file anew.
func compareHeads(ctx context.Context, s store.Full, noted store.AuditReport, rep *store.AuditReport) error {
	wrong := func(format string, args ...any) { rep.Problems = append(rep.Problems, fmt.Sprintf(format, args...)) }
	for _, c := range noted.Companies {
		entry, err := lineAt(ctx, s.Entries, c.Company, c.Entries)
		if err != nil {
			return err
		}
		if c.Entries > 0 && (entry == nil || entry.Hash != c.Head) {
			wrong("ledger of %s: line %d is not the one that was noted", c.Company, c.Entries)
		}
		record, err := lineAt(ctx, s.Records, c.Company, c.Records)
		if err != nil {
			return err
		}
		if c.Records > 0 && record != nil && record.Hash != c.Proof {
			wrong("consent book of %s: line %d is not the one that was noted", c.Company, c.Records)
		}
		if now := auditOf(*rep, c.Company); now.Records < c.Records {
			wrong("consent book of %s: had %d lines when it was noted, has %d", c.Company, c.Records, now.Records)
		}
	}
	notes, err := s.Notes(ctx, store.NoteQuery{Below: noted.Journal.Lines + 1, Limit: 1})
	if err != nil {
		return err
	}
	if len(notes) == 1 && notes[0].Seq == noted.Journal.Lines && notes[0].Hash != noted.Journal.Head || rep.Journal.Lines < noted.Journal.Lines {
		wrong("journal: line %d is not the one that was noted", noted.Journal.Lines)
	}
	return nil
}

func auditOf(rep store.AuditReport, company string) (found store.CompanyAudit) {
	for _, c := range rep.Companies {
		if c.Company == company {
			found = c
		}
	}
	return found
}

// lineAt is one line of a book, nil when there is none: not written yet, or cut
// off after its retention.
func lineAt[T any](ctx context.Context, read func(context.Context, string, int64, int) ([]T, error), company string, number int64) (*T, error) {
	if number < 1 {
		return nil, nil
	}
	lines, err := read(ctx, company, number-1, 1)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return &lines[0], nil
}
