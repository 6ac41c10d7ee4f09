package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/web"
)

// subjectCommand serves a person who asks about own data (the law on personal
// information, articles 33 to 35). The address is read from standard input: on the
// command line it would stand in the shell's history and in the process list.
type subjectCommand struct {
	Wish    string `arg:"" enum:"export,correct,withdraw,stop,erase" help:"export, correct, withdraw, stop (no more links) or erase."`
	Company string `help:"Of this company alone." placeholder:"ID"`
	Changes string `help:"With correct: a JSON file with the fields to be changed, such as {\"phone\": \"03-0000-0000\"}." placeholder:"FILE"`
	Out     string `help:"With export: write to this new file, which only you can read." placeholder:"FILE"`
	Text    bool   `help:"With export: text for people instead of JSON."`
	Yes     bool   `help:"With erase: nothing can bring it back."`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *subjectCommand) Run(t *terminal) error {
	job := &subjectTask{Wish: c.Wish, Company: c.Company, Text: c.Text}
	switch {
	case c.Wish == "erase" && !c.Yes:
		return errors.New("erase needs --yes: nothing can bring the data back")
	case (c.Wish == "correct") != (c.Changes != ""):
		return errors.New("correct needs --changes FILE, and nothing else does")
	case c.Changes != "":
		raw, err := os.ReadFile(c.Changes)
		if err != nil {
			return fmt.Errorf("read the changes: %w", err)
		}
		job.Changes = raw
	}
	line, err := bufio.NewReader(t.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the address: %w", err)
	}
	if job.Address = strings.TrimSpace(line); !strings.Contains(job.Address, "@") {
		return errors.New("write the person's mail address to standard input")
	}
	if c.Out == "" {
		return perform(t, c.Config, "subject", job, t.stdout)
	}
	return privately(c.Out, func(w io.Writer) error { return perform(t, c.Config, "subject", job, w) })
}

type subjectTask struct {
	Wish, Company, Address string
	Changes                []byte
	Text                   bool
}

// known is what is kept about the person at one company.
type known struct {
	company string
	hash    store.PersonHash
	store.Subject
}

func (s *subjectTask) do(ctx context.Context, o *office, out io.Writer) error {
	all, err := s.find(ctx, o)
	if err != nil {
		return err
	}
	switch s.Wish {
	case "export":
		return s.export(ctx, o, all, out)
	case "stop":
		return s.stop(ctx, o, all, out)
	}
	return s.each(ctx, o, all, out)
}

// find looks the address up at every company: by its keyed hash, and among the
// profiles, since a candidate may have registered with another address than the
// mail went to.
func (s *subjectTask) find(ctx context.Context, o *office) ([]known, error) {
	keys, err := o.keys()
	if err != nil {
		return nil, err
	}
	companies, err := o.companies(ctx)
	if err != nil {
		return nil, err
	}
	if s.Company != "" {
		if err := o.knows(ctx, s.Company); err != nil {
			return nil, err
		}
		companies = []string{s.Company}
	}
	var all []known
	for _, company := range companies {
		one := known{company: company, hash: keys.Person(company, s.Address)}
		if one.Subject, err = o.store.Subject(ctx, company, one.hash); err != nil {
			return nil, err
		}
		if err := s.typed(ctx, o, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// typed adds referrals whose profile has the address.
func (s *subjectTask) typed(ctx context.Context, o *office, one *known) error {
	want := store.Normalize(s.Address)
	return everyReferral(ctx, o.store, store.Query{Company: one.company, State: store.OptedIn}, func(r store.Referral) error {
		if slices.ContainsFunc(one.Referrals, func(k store.Referral) bool { return k.ID == r.ID }) {
			return nil
		}
		profile, err := openProfile(o, r)
		if err != nil || profile == nil {
			return err
		}
		if mail, err := mailOf(profile); err != nil {
			return err
		} else if store.Normalize(mail) == want {
			one.Referrals = append(one.Referrals, r)
		}
		return nil
	})
}

// everyReferral calls f for each referral that q selects.
func everyReferral(ctx context.Context, s store.Full, q store.Query, f func(store.Referral) error) error {
	for q.Limit = 1000; ; {
		page, err := s.Referrals(ctx, q)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			q.After = r.ID
			if err := f(r); err != nil {
				return err
			}
		}
	}
}

// openProfile returns the profile of a referral as JSON, nil when none is kept.
func openProfile(o *office, r store.Referral) ([]byte, error) {
	if r.Consent == nil || r.Consent.Profile == nil {
		return nil, nil
	}
	sealer, err := o.sealer()
	if err != nil {
		return nil, err
	}
	text, err := sealer.Open(r.ID, r.Consent.Profile)
	if err != nil {
		return nil, fmt.Errorf("referral %s: %w", r.ID, err)
	}
	return text, nil
}

func mailOf(profile []byte) (string, error) {
	var f web.Form
	if err := json.Unmarshal(profile, &f); err != nil {
		return "", errors.New("read profile: not the form's JSON") // the error's text could repeat data
	}
	return f.Mail, nil
}

// each does the wish to every referral of the person.
func (s *subjectTask) each(ctx context.Context, o *office, all []known, out io.Writer) error {
	done := 0
	for _, one := range all {
		for _, r := range one.Referrals {
			if s.Wish == "withdraw" && r.State != store.OptedIn || s.Wish == "correct" && (r.Consent == nil || r.Consent.Profile == nil) {
				continue
			}
			if err := o.note(ctx, store.NoteRequest, s.Wish, one.company, r.ID, ""); err != nil {
				return err
			}
			if err := s.change(ctx, o, r); err != nil {
				return fmt.Errorf("referral %s of %s: %w", r.ID, one.company, err)
			}
			done++
			fmt.Fprintf(out, "%s: referral %s: %s done\n", one.company, r.ID, s.Wish)
		}
	}
	if done == 0 {
		fmt.Fprintf(out, "nothing to %s is kept about this address\n", s.Wish)
		return errSaid
	}
	return nil
}

func (s *subjectTask) change(ctx context.Context, o *office, r store.Referral) error {
	switch s.Wish {
	case "withdraw":
		_, err := o.store.Withdraw(ctx, r.ID)
		return err
	case "erase":
		_, err := o.store.Erase(ctx, r.ID)
		return err
	}
	profile, err := openProfile(o, r)
	if err != nil {
		return err
	}
	if profile, err = web.CorrectProfile(profile, s.Changes); err != nil {
		return err
	}
	sealer, err := o.sealer()
	if err != nil {
		return err
	}
	box, err := sealer.Seal(r.ID, profile)
	if err != nil {
		return err
	}
	return o.store.SetProfile(ctx, r.ID, r.Consent.Profile, box)
}

// stop keeps the link from the person, also where nothing is known of him or her.
func (s *subjectTask) stop(ctx context.Context, o *office, all []known, out io.Writer) error {
	for _, one := range all {
		if err := o.note(ctx, store.NoteRequest, "stop", one.company, "", ""); err != nil {
			return err
		}
		if err := o.store.Suppress(ctx, one.company, one.hash); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: this address gets no more links\n", one.company)
	}
	return nil
}

// subjectExport is what is kept about a person, for that person.
type subjectExport struct {
	Company   string            `json:"company"`
	OptedOut  bool              `json:"notices_stopped"`
	Erased    bool              `json:"erased_before"`
	Referrals []subjectReferral `json:"referrals"`
	Records   []store.Record    `json:"records"`
	Requests  []store.Note      `json:"requests"`
}

type subjectReferral struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Rule        string          `json:"rule"`
	Language    string          `json:"language"`
	Stage       string          `json:"stage,omitempty"`
	State       store.State     `json:"state"`
	Test        bool            `json:"test,omitempty"`
	OfferedAt   time.Time       `json:"offered_at"`
	SentAt      time.Time       `json:"sent_at,omitzero"`
	OptedInAt   time.Time       `json:"opted_in_at,omitzero"`
	WithdrawnAt time.Time       `json:"withdrawn_at,omitzero"`
	HandedOver  time.Time       `json:"handed_over_at,omitzero"`
	Agency      string          `json:"agency_reports,omitempty"`
	Views       int             `json:"page_views"`
	Profile     json.RawMessage `json:"profile,omitempty"`
}

func (s *subjectTask) export(ctx context.Context, o *office, all []known, out io.Writer) error {
	list := []subjectExport{}
	for _, one := range all {
		if len(one.Referrals) == 0 && !one.OptedOut && !one.Erased {
			continue
		}
		e, err := s.exportOne(ctx, o, one)
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	if s.Text {
		return printSubject(out, list)
	}
	return writeJSON(out, list)
}

func (s *subjectTask) exportOne(ctx context.Context, o *office, one known) (subjectExport, error) {
	e := subjectExport{Company: one.company, OptedOut: one.OptedOut, Erased: one.Erased,
		Referrals: []subjectReferral{}, Records: []store.Record{}, Requests: []store.Note{}}
	ids := map[string]bool{}
	for _, r := range one.Referrals {
		ids[r.ID] = true
		if err := o.note(ctx, store.NoteRequest, "export", one.company, r.ID, ""); err != nil {
			return e, err
		}
		profile, err := openProfile(o, r)
		if err != nil {
			return e, err
		}
		e.Referrals = append(e.Referrals, subjectReferral{ID: r.ID, Kind: r.Kind, Rule: r.Rule, Language: r.Language,
			Stage: r.Stage, State: r.State, Test: r.Test, OfferedAt: r.OfferedAt, SentAt: r.SentAt, OptedInAt: r.OptedInAt,
			WithdrawnAt: r.WithdrawnAt, HandedOver: r.HandedOverAt, Agency: string(r.Agency), Views: r.Human + r.Machine, Profile: profile})
	}
	err := everyLine(ctx, o.store.Records, one.company, func(r store.Record) int64 {
		if r.Person == one.hash || ids[r.Referral] {
			e.Records = append(e.Records, r)
		}
		return r.Seq
	})
	if err != nil {
		return e, err
	}
	return e, everyNote(ctx, o.store, store.NoteQuery{Kind: store.NoteRequest, Company: one.company}, func(n store.Note) {
		if ids[n.Referral] {
			e.Requests = append(e.Requests, n)
		}
	})
}

// everyNote calls f for each note that q selects, newest first.
func everyNote(ctx context.Context, journal store.Journal, q store.NoteQuery, f func(store.Note)) error {
	for q.Limit = 1000; ; {
		notes, err := journal.Notes(ctx, q)
		if err != nil {
			return err
		}
		for _, n := range notes {
			q.Below = n.Seq
			f(n)
		}
		if len(notes) < q.Limit {
			return nil
		}
	}
}

// printSubject writes the export as lines of "name: value".
func printSubject(w io.Writer, list []subjectExport) error {
	raw, err := json.Marshal(list)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return err
	}
	printTree(w, "", tree)
	return nil
}

func printTree(w io.Writer, indent string, tree any) {
	switch v := tree.(type) {
	case map[string]any:
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			switch v[name].(type) {
			case map[string]any, []any:
				fmt.Fprintf(w, "%s%s:\n", indent, name)
				printTree(w, indent+"  ", v[name])
			default:
				fmt.Fprintf(w, "%s%s: %v\n", indent, name, v[name])
			}
		}
	case []any:
		for i, one := range v {
			if i > 0 {
				fmt.Fprintln(w)
			}
			printTree(w, indent, one)
		}
	default:
		fmt.Fprintf(w, "%s%v\n", indent, v)
	}
}
