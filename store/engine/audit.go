package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/careerrelay/careerrelay/store"
)

// maxProblems bounds an audit's report; a store with more is beyond counting.
const maxProblems = 1000

// Audit implements store.Books. One company's books are read in one transaction,
// the referrals page by page: on a busy store of millions, audit a backup.
func (e *Engine) Audit(ctx context.Context) (store.AuditReport, error) {
	var rep store.AuditReport
	companies, err := e.Report(ctx, "")
	if err != nil {
		return rep, wrap("audit", err)
	}
	for _, c := range companies {
		if err := e.auditCompany(ctx, c.Company, &rep); err != nil {
			return rep, wrap("audit", err)
		}
	}
	if err := e.auditJournal(ctx, &rep); err != nil {
		return rep, wrap("audit", err)
	}
	for after := ""; ; {
		last, err := e.auditPage(ctx, after, &rep)
		if err != nil || last == "" {
			return rep, wrap("audit", err)
		}
		after = last
	}
}

func found(rep *store.AuditReport, format string, args ...any) {
	if len(rep.Problems) < maxProblems {
		rep.Problems = append(rep.Problems, fmt.Sprintf(format, args...))
	}
}

// outage reports whether an error says nothing about the data.
func outage(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, store.ErrUnavailable) && !errors.Is(err, ErrDamaged)
}

func (e *Engine) auditCompany(ctx context.Context, company string, rep *store.AuditReport) error {
	kept := *rep
	return e.db.Read(ctx, func(t Tx) error {
		*rep = kept
		b, err := t.Book(company)
		if err != nil {
			return err
		}
		a := store.NewAuditor(company, b)
		errLedger := eachEntry(t, company, 0, a.Entry)
		errConsents := eachRecord(t, company, 0, a.Record)
		for _, err := range []error{errLedger, errConsents} {
			if outage(err) {
				return err
			}
			if err != nil {
				found(rep, "%v", err)
			}
		}
		rep.Companies = append(rep.Companies, a.Compare(b))
		for _, p := range a.Problems {
			found(rep, "%s", p)
		}
		for id := range a.Live() {
			if r, err := t.Row(id); outage(err) {
				return err
			} else if err != nil {
				found(rep, "%s: counted referral %s: %v", company, id, err)
			} else if !r.Counted || r.Company != company {
				found(rep, "%s: the ledger counts referral %s, its row does not", company, id)
			}
		}
		return nil
	})
}

// auditPage checks the rows of one page against the indexes and the ledger, and
// returns the last id; "" at the end.
func (e *Engine) auditPage(ctx context.Context, after string, rep *store.AuditReport) (last string, err error) {
	kept := *rep
	err = e.db.Read(ctx, func(t Tx) error {
		*rep, last = kept, ""
		ids, err := t.IDs(after, pageScan)
		for _, id := range ids {
			last = id
			rep.Referrals++
			if err := auditRow(t, id); outage(err) {
				return err
			} else if err != nil {
				found(rep, "referral %s: %v", id, err)
			}
		}
		return err
	})
	return last, err
}

func auditRow(t Tx, id string) error {
	r, err := t.Row(id)
	if err != nil {
		return err
	}
	for _, l := range r.Links {
		to, err := t.Link(l.Hash)
		if err != nil {
			return err
		}
		if to != id {
			return errors.New("a link does not lead to it")
		}
	}
	if r.Person != "" {
		p, err := t.Person(keyOf(r.Referral))
		if err != nil {
			return err
		}
		if p.ID != id {
			return errors.New("its person does not lead to it")
		}
	}
	if !r.Counted {
		return nil
	}
	lines, err := t.Entries(r.Company, r.Entry, 1)
	if err != nil {
		return err
	}
	if len(lines) == 0 || lines[0].Seq != r.Entry || lines[0].Kind != store.EntryCount || lines[0].Referral != id {
		return errors.New("it counts, but the ledger does not say so")
	}
	if p := lines[0].Programme; p != "" && p != r.Kind {
		return errors.New("the ledger counts it in another programme")
	}
	return nil
}
