package dashboard

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// lastAudit is the result of the audit that ran last.
type lastAudit struct {
	mu  sync.Mutex // guards the fields below
	at  time.Time
	rep *store.AuditReport
}

// chainsData is the page of the chains.
type chainsData struct {
	At     time.Time // of the last audit; zero when none ran since the start
	OK     bool
	Report store.AuditReport
}

func (d *Dashboard) chains(v *visit) (any, error) {
	d.checked.mu.Lock()
	defer d.checked.mu.Unlock()
	if d.checked.rep == nil {
		return chainsData{}, nil
	}
	data := chainsData{At: d.checked.at, Report: *d.checked.rep, OK: d.checked.rep.OK()}
	if len(v.session.companies) > 0 { // the problems of others are not for this auditor
		data.Report.Companies, data.Report.Problems = nil, nil
		for _, p := range d.checked.rep.Problems {
			if slices.ContainsFunc(v.session.companies, func(c string) bool { return strings.Contains(p, c) }) {
				data.Report.Problems = append(data.Report.Problems, p)
			}
		}
		for _, c := range d.checked.rep.Companies {
			if slices.Contains(v.session.companies, c.Company) {
				data.Report.Companies = append(data.Report.Companies, c)
			}
		}
	}
	return data, nil
}

// auditNow reads everything, one audit at a time.
func (d *Dashboard) auditNow(v *visit) error {
	select {
	case d.audits <- struct{}{}:
		defer func() { <-d.audits }()
	default:
		return wrongForm("auditing")
	}
	rep, err := d.o.Store.Audit(v.r.Context())
	if err != nil {
		return err
	}
	d.checked.mu.Lock()
	defer d.checked.mu.Unlock()
	d.checked.at, d.checked.rep = d.o.Now(), &rep
	v.done = "audited"
	return nil
}

// linesPerPage is how much of a book one page shows.
const linesPerPage = 50

// bookData is a page of a book.
type bookData[T any] struct {
	Lines []T
	More  int64 // where the next page begins; 0 at the end
}

// after is the line after which a page of a book begins.
func (v *visit) after() int64 {
	n, err := strconv.ParseInt(v.r.FormValue("after"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (d *Dashboard) ledger(v *visit) (any, error) {
	var data bookData[store.Entry]
	var err error
	if v.company.ID == "" {
		return data, nil
	}
	if data.Lines, err = d.o.Store.Entries(v.r.Context(), v.company.ID, v.after(), linesPerPage); err != nil {
		return nil, err
	}
	if len(data.Lines) == linesPerPage {
		data.More = data.Lines[linesPerPage-1].Seq
	}
	return data, nil
}

// consentsData is the texts, and a page of the consent book.
type consentsData struct {
	Texts []ConsentText
	bookData[store.Record]
}

func (d *Dashboard) consents(v *visit) (any, error) {
	data := consentsData{Texts: d.o.Texts()}
	var err error
	if v.company.ID == "" {
		return data, nil
	}
	if data.Lines, err = d.o.Store.Records(v.r.Context(), v.company.ID, v.after(), linesPerPage); err != nil {
		return nil, err
	}
	if len(data.Lines) == linesPerPage {
		data.More = data.Lines[linesPerPage-1].Seq
	}
	return data, nil
}

// journalData is a page of the journal.
type journalData struct {
	Kind  store.NoteKind
	Kinds []store.NoteKind
	bookData[store.Note]
}

func (d *Dashboard) journal(v *visit) (any, error) {
	data := journalData{Kinds: []store.NoteKind{store.NoteAccess, store.NoteRequest, store.NoteDeletion}}
	if kind := store.NoteKind(v.r.FormValue("kind")); slices.Contains(data.Kinds, kind) {
		data.Kind = kind
	}
	q := store.NoteQuery{Kind: data.Kind, Below: v.after(), Limit: linesPerPage}
	if len(v.session.companies) > 0 || v.r.FormValue("company") != "" {
		q.Company = v.company.ID
	}
	var err error
	if data.Lines, err = d.o.Store.Notes(v.r.Context(), q); err != nil {
		return nil, err
	}
	if len(data.Lines) == linesPerPage {
		data.More = data.Lines[linesPerPage-1].Seq
	}
	return data, nil
}
