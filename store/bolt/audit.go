package bolt

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/careerrelay/careerrelay/store"
)

// maxProblems bounds an audit's report; a store with more is beyond counting.
const maxProblems = 1000

// Audit implements store.Books. One company's books are read in one transaction,
// the referrals page by page: on a busy store of millions, audit a Backup.
func (s *Store) Audit(ctx context.Context) (store.AuditReport, error) {
	var rep store.AuditReport
	companies, err := s.Report(ctx, "")
	if err != nil {
		return rep, wrap("audit", err)
	}
	for _, c := range companies {
		if err := s.auditCompany(ctx, c.Company, &rep); err != nil {
			return rep, wrap("audit", err)
		}
	}
	if err := s.auditJournal(ctx, &rep); err != nil {
		return rep, wrap("audit", err)
	}
	for after := ""; ; {
		last, err := s.auditPage(ctx, after, &rep)
		if err != nil {
			return rep, wrap("audit", err)
		}
		if last == "" {
			return rep, nil
		}
		after = last
	}
}

func found(rep *store.AuditReport, format string, args ...any) {
	if len(rep.Problems) < maxProblems {
		rep.Problems = append(rep.Problems, fmt.Sprintf(format, args...))
	}
}

func (s *Store) auditCompany(ctx context.Context, company string, rep *store.AuditReport) error {
	return s.view(ctx, func(t *txn) error {
		var c companyRecord
		if _, err := t.load(bucketCompanies, []byte(company), &c); err != nil {
			return err
		}
		a := store.NewAuditor(company, c.Book)
		errLedger := scanFrom(t, bucketLedger, company, 0, func(e store.Entry) error { a.Entry(e); return nil })
		errConsents := scanFrom(t, bucketConsents, company, 0, func(r store.Record) error { a.Record(r); return nil })
		for _, err := range []error{errLedger, errConsents} {
			if err != nil {
				found(rep, "%v", err)
			}
		}
		rep.Companies = append(rep.Companies, a.Compare(c.Book))
		for _, p := range a.Problems {
			found(rep, "%s", p)
		}
		for id := range a.Live() {
			if r, err := t.rowByID(id); err != nil {
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
func (s *Store) auditPage(ctx context.Context, after string, rep *store.AuditReport) (last string, err error) {
	err = s.view(ctx, func(t *txn) error {
		b := t.tx.Bucket(bucketReferrals)
		if b == nil {
			return damaged("bucket %s is missing", bucketReferrals)
		}
		from, err := hex.DecodeString(after)
		if err != nil {
			return err
		}
		c, n := b.Cursor(), 0
		k, _ := c.Seek(from)
		if k != nil && hex.EncodeToString(k) == after {
			k, _ = c.Next()
		}
		for ; k != nil && n < pageScan; k, _ = c.Next() {
			last = hex.EncodeToString(k)
			n++
			rep.Referrals++
			if err := t.auditRow(last); err != nil {
				found(rep, "referral %s: %v", last, err)
			}
		}
		return nil
	})
	return last, err
}

func (t *txn) auditRow(id string) error {
	r, err := t.loadRow(id)
	if err != nil {
		return err
	}
	key, err := idBytes(id)
	if err != nil {
		return err
	}
	for _, l := range r.links {
		to, err := t.get(bucketLinks, l.Hash)
		if err != nil {
			return err
		}
		if string(to) != string(key) {
			return errors.New("a link does not lead to it")
		}
	}
	if r.Person != "" {
		var p personRecord
		if _, err := t.load(bucketPersons, personKey(r.Company, r.Test, r.Person), &p); err != nil {
			return err
		}
		if p.ID != id {
			return errors.New("its person does not lead to it")
		}
	}
	if !r.Counted {
		return nil
	}
	var e store.Entry
	if _, err := t.load(bucketLedger, seqKey(r.Company, r.entry), &e); err != nil {
		return err
	}
	if e.Kind != store.EntryCount || e.Referral != id {
		return errors.New("it counts, but the ledger does not say so")
	}
	if e.Programme != "" && e.Programme != r.Kind {
		return errors.New("the ledger counts it in another programme")
	}
	return nil
}
