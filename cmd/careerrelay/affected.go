package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// affectedCommand helps after a breach (the law on personal information, article
// 26): whose data were in the store in a range of time.
type affectedCommand struct {
	From      moment `required:"" help:"Beginning of the time: 2026-04-01 (UTC) or 2026-04-01T09:00:00+09:00." placeholder:"TIME"`
	To        moment `required:"" help:"End of the time, not part of it." placeholder:"TIME"`
	Company   string `help:"Of this company alone." placeholder:"ID"`
	JSON      bool   `name:"json" help:"Counts and ids for scripts."`
	Addresses bool   `help:"Write the mail addresses of the people into a new file (--out) that only you can read; needs the profile key."`
	Out       string `help:"With --addresses: the file, CSV." placeholder:"FILE"`
	Config    string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *affectedCommand) Run(t *terminal) error {
	job := &affectedTask{From: c.From.Time, To: c.To.Time, Company: c.Company, JSON: c.JSON, Addresses: c.Addresses}
	switch {
	case !c.From.Before(c.To.Time):
		return errors.New("--from must be before --to")
	case c.Addresses != (c.Out != ""):
		return errors.New("--addresses and --out FILE belong together")
	case c.Addresses:
		return privately(c.Out, func(w io.Writer) error { return perform(t, c.Config, "affected", job, w) })
	}
	return perform(t, c.Config, "affected", job, t.stdout)
}

type affectedTask struct {
	From, To        time.Time
	Company         string
	JSON, Addresses bool
}

// affectedCompany is one company in the output of affected --json.
type affectedCompany struct {
	Company  string   `json:"company"`
	Profiles []string `json:"profiles"` // ids of referrals whose sealed profile was in the store
	Erased   int64    `json:"erased"`   // others whose profile was there, and who cannot be told any more
	Hashes   int64    `json:"hashes"`   // people of whom there was a keyed hash alone
	Accesses int64    `json:"accesses"` // lines about the company in the journal in that time
}

func (a *affectedTask) do(ctx context.Context, o *office, out io.Writer) error {
	detail := fmt.Sprintf("%s to %s", a.From.Format(time.RFC3339), a.To.Format(time.RFC3339))
	action := "affected"
	if a.Addresses {
		action = "affected with addresses"
	}
	if err := o.note(ctx, store.NoteAccess, action, a.Company, "", detail); err != nil {
		return err
	}
	list, err := a.collect(ctx, o)
	switch {
	case err != nil:
		return err
	case a.Addresses:
		return a.addresses(ctx, o, list, out)
	case a.JSON:
		return writeJSON(out, list)
	}
	return a.print(out, list)
}

func (a *affectedTask) collect(ctx context.Context, o *office) ([]affectedCompany, error) {
	companies, err := o.companies(ctx)
	if err != nil {
		return nil, err
	}
	if a.Company != "" {
		if err := o.knows(ctx, a.Company); err != nil {
			return nil, err
		}
		companies = []string{a.Company}
	}
	keep := time.Duration(o.config.Retention.Profile)
	list := []affectedCompany{}
	for _, company := range companies {
		one := affectedCompany{Company: company, Profiles: []string{}}
		err := everyReferral(ctx, o.store, store.Query{Company: company}, func(r store.Referral) error {
			switch r.Exposed(a.From, a.To, keep) {
			case store.ExposedProfile:
				one.Profiles = append(one.Profiles, r.ID)
			case store.ExposedErased:
				one.Erased++
			case store.ExposedHash:
				one.Hashes++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		err = everyNote(ctx, o.store, store.NoteQuery{Kind: store.NoteAccess, Company: company, From: a.From, Before: a.To},
			func(store.Note) { one.Accesses++ })
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func (a *affectedTask) print(w io.Writer, list []affectedCompany) error {
	for _, c := range list {
		fmt.Fprintf(w, "%s: %s with a sealed profile, %d erased or withdrawn since, %d known by a keyed hash alone; %s in the journal\n",
			c.Company, count(len(c.Profiles), "person", "people"), c.Erased, c.Hashes, count64(c.Accesses, "access", "accesses"))
		for _, id := range c.Profiles {
			fmt.Fprintln(w, " ", id)
		}
	}
	return nil
}

// addresses writes whom to tell. A profile that the retention dropped since has
// no address any more: its row says so.
func (a *affectedTask) addresses(ctx context.Context, o *office, list []affectedCompany, out io.Writer) error {
	w := csv.NewWriter(out)
	w.Write([]string{"company", "referral", "mail"})
	for _, c := range list {
		for _, id := range c.Profiles {
			r, err := o.store.Referral(ctx, id)
			if err != nil {
				return err
			}
			mail := ""
			profile, err := openProfile(o, r)
			if err == nil && profile != nil {
				mail, err = mailOf(profile)
			}
			if err != nil {
				return err
			}
			w.Write([]string{c.Company, id, mail})
		}
	}
	w.Flush()
	return w.Error()
}
