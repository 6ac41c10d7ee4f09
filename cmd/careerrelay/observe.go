package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/careerrelay/careerrelay/store"
)

//go:embed observe.html
var observePage embed.FS

// observeTask is report --observe: what the relay does or would do, by rule.
type observeTask struct {
	Since string // month, or "" for all
	JSON  bool
}

func (j *observeTask) do(ctx context.Context, o *office, out io.Writer) error {
	ids, err := o.companies(ctx)
	if err != nil {
		return err
	}
	rows, err := observedOf(ctx, o.store, ids, j.Since)
	if err != nil {
		return err
	}
	if j.JSON {
		return writeJSON(out, rows)
	}
	return printObserved(out, rows)
}

// observed is what was seen of one company's mail: a contract for scripts. It
// holds counts and the ids of rules, nothing of any mail.
type observed struct {
	Company string         `json:"company"`
	From    string         `json:"from"` // first and last month with mail: 2026-04; "" without any
	To      string         `json:"to"`
	Seen    int64          `json:"seen"`
	Matched int64          `json:"matched"`
	Near    int64          `json:"near"`
	Changed int64          `json:"changed"`
	Rules   []observedRule `json:"rules"` // the ones that found something, most matches first
}

// observedRule is what one rule found.
type observedRule struct {
	Rule    string `json:"rule"`
	Matched int64  `json:"matched"` // mails it takes for what it looks for
	Near    int64  `json:"near"`    // near misses
	Changed int64  `json:"changed"` // of the matched ones: that got a link
}

// monthly is what the report needs of the store.
type monthly interface {
	Months(ctx context.Context, company string) ([]store.Month, error)
}

// observedOf adds up the months of each company from one on.
func observedOf(ctx context.Context, s monthly, companies []string, since string) ([]observed, error) {
	rows := make([]observed, 0, len(companies)) // no companies is [], not null
	for _, id := range companies {
		months, err := s.Months(ctx, id)
		if err != nil {
			return nil, err
		}
		row := observed{Company: id, Rules: []observedRule{}}
		for _, m := range months {
			if m.Month >= since {
				row.add(m)
			}
		}
		slices.SortStableFunc(row.Rules, func(a, b observedRule) int {
			return cmp.Or(cmp.Compare(b.Matched, a.Matched), cmp.Compare(b.Near, a.Near), cmp.Compare(a.Rule, b.Rule))
		})
		rows = append(rows, row)
	}
	return rows, nil
}

func (o *observed) add(m store.Month) {
	if m.Seen+m.Matched+m.Near+m.Inserted == 0 {
		return // something else happened in that month
	}
	if o.From == "" || m.Month < o.From {
		o.From = m.Month
	}
	o.To = max(o.To, m.Month)
	o.Seen, o.Matched, o.Near, o.Changed = o.Seen+m.Seen, o.Matched+m.Matched, o.Near+m.Near, o.Changed+m.Inserted
	if m.Matched+m.Near+m.Inserted == 0 || m.Rule == "" {
		return
	}
	i := slices.IndexFunc(o.Rules, func(r observedRule) bool { return r.Rule == m.Rule })
	if i < 0 {
		o.Rules = append(o.Rules, observedRule{Rule: m.Rule})
		i = len(o.Rules) - 1
	}
	r := &o.Rules[i]
	r.Matched, r.Near, r.Changed = r.Matched+m.Matched, r.Near+m.Near, r.Changed+m.Inserted
}

func printObserved(w io.Writer, rows []observed) error {
	for i, row := range rows {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if row.Seen == 0 {
			fmt.Fprintf(w, "%s: no mail yet\n", row.Company)
			continue
		}
		fmt.Fprintf(w, "%s, %s to %s: %s of %s mails match a rule, %s got a link; %s more came near\n", row.Company, row.From, row.To,
			thousands(row.Matched), thousands(row.Seen), thousands(row.Changed), thousands(row.Near))
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "  rule\tmatched\tnear misses\tgot a link")
		for _, r := range row.Rules {
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", r.Rule, thousands(r.Matched), thousands(r.Near), thousands(r.Changed))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// thousands writes a count as both languages do: 1,204.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// observeNow is the page of the admin listener.
func (a admin) observeNow(w http.ResponseWriter, r *http.Request) {
	rows, err := a.observed(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	var page bytes.Buffer
	t, err := template.New("observe.html").Funcs(template.FuncMap{"n": thousands}).ParseFS(observePage, "observe.html")
	if err == nil {
		err = t.Execute(&page, rows)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	_, _ = page.WriteTo(w) // the reader may be gone
}
