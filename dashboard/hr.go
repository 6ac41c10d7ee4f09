package dashboard

import (
	"encoding/csv"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"github.com/careerrelay/careerrelay/store"
)

// funnelData is the page of the funnel.
type funnelData struct {
	Heads   []string // keys of the columns
	Total   tableRow
	Months  []tableRow
	Rules   []tableRow
	Stages  plot
	ByMonth plot
	ByRule  plot
}

func (d *Dashboard) funnel(v *visit) (any, error) {
	months, total, err := d.counts(v)
	if err != nil {
		return nil, err
	}
	data := funnelData{Heads: append(append([]string{}, stages...), asides...)}
	row := func(label string, c store.Counts, rule bool) tableRow {
		main, beside := figuresOf(c, rule)
		return tableRow{label, append(main, beside...)}
	}
	data.Total = row("", total, false)
	var bars []barRow
	for i, f := range data.Total.Figures[1:len(stages)] { // seen is so much more that the others would vanish
		bars = append(bars, barRow{Label: "stage_" + stages[i+1], Key: true, Values: []figure{f}})
	}
	data.Stages = horizontal("stages", bars, nil)
	labels, sums := grouping(months, byMonth)
	for i := len(labels) - 1; i >= 0; i-- { // the newest first
		data.Months = append(data.Months, row(labels[i], *sums[labels[i]], false))
	}
	data.ByMonth = monthPlot(lastMonths(d.o.Now(), 12), sums)
	labels, sums = grouping(months, byRule)
	bars = nil
	for _, rule := range labels {
		if rule == "" {
			continue // traffic that no rule matched
		}
		c := sums[rule]
		data.Rules = append(data.Rules, row(rule, *c, true))
		bars = append(bars, barRow{Label: rule, Values: []figure{exact(c.Matched), exact(c.Sent), exact(c.OptedIn)}})
	}
	data.ByRule = horizontal("rules", bars, []string{"stage_matched", "stage_sent", "stage_opted_in"})
	return data, nil
}

func monthPlot(labels []string, sums map[string]*store.Counts) plot {
	var bars []barRow
	for _, month := range labels {
		c := sums[month]
		if c == nil {
			c = &store.Counts{}
		}
		bars = append(bars, barRow{Label: month[2:], Values: []figure{exact(c.Sent), exact(c.OpenedHuman), exact(c.OptedIn)}})
	}
	return vertical("months", bars, []string{"stage_sent", "stage_opened", "stage_opted_in"})
}

// counts are the months and the total of the chosen company.
func (d *Dashboard) counts(v *visit) ([]store.Month, store.Counts, error) {
	if v.company.ID == "" {
		return nil, store.Counts{}, nil
	}
	months, err := d.o.Store.Months(v.r.Context(), v.company.ID)
	if err != nil {
		return nil, store.Counts{}, err
	}
	rows, err := d.o.Store.Report(v.r.Context(), v.company.ID)
	if err != nil || len(rows) != 1 {
		return nil, store.Counts{}, err
	}
	return months, rows[0], nil
}

// creditsData is the page of credits.
type creditsData struct {
	Credits       store.Credits
	Left          int64
	Next          int64 // number that the next introduction would have
	Introductions []introductionRow
	MayRedeem     bool
}

type introductionRow struct {
	store.Introduction
	Steps []store.EntryKind // that the user may take
}

// stepsAfter are the steps that may follow a state, in the order of the buttons.
// The store decides; this only spares a try.
var stepsAfter = map[store.EntryKind][]store.EntryKind{
	store.EntryReserve:   {store.EntryIntroduce, store.EntryReturn},
	store.EntryIntroduce: {store.EntryHire, store.EntryNotHired, store.EntryReturn},
	store.EntryHire:      {store.EntryClose},
	store.EntryNotHired:  {store.EntryClose, store.EntryReturn},
}

func (d *Dashboard) credits(v *visit) (any, error) {
	data := creditsData{MayRedeem: v.session.role == HR && v.company.ID != ""}
	if v.company.ID == "" {
		return data, nil
	}
	var err error
	if data.Credits, err = d.o.Store.Credits(v.r.Context(), v.company.ID); err != nil {
		return nil, err
	}
	data.Left = data.Credits.Available()
	list, err := d.o.Store.Introductions(v.r.Context(), v.company.ID)
	if err != nil {
		return nil, err
	}
	data.Next = 1
	for _, i := range list {
		data.Next = i.Number + 1
		row := introductionRow{Introduction: i}
		if v.session.role != Auditor {
			row.Steps = stepsAfter[i.State]
		}
		data.Introductions = append([]introductionRow{row}, data.Introductions...)
	}
	return data, nil
}

// useCredit redeems a credit, or takes an introduction a step further.
func (d *Dashboard) useCredit(v *visit) error {
	if v.session.role == Auditor || v.company.ID == "" {
		return wrongForm("forbidden")
	}
	note := strings.TrimSpace(v.r.PostFormValue("note"))
	if len([]rune(note)) > 100 || strings.ContainsFunc(note, func(r rune) bool { return r < ' ' }) {
		return wrongForm("badnote")
	}
	if v.r.PostFormValue("step") == "redeem" {
		return d.redeem(v, note)
	}
	number, err := strconv.ParseInt(v.r.PostFormValue("number"), 10, 64)
	if err != nil {
		return wrongForm("badform")
	}
	_, err = d.o.Store.Advance(v.r.Context(), v.company.ID, number, store.EntryKind(v.r.PostFormValue("step")), note)
	switch {
	case errors.Is(err, store.ErrWrongState), errors.Is(err, store.ErrNotFound):
		return wrongForm("badstep")
	case err != nil:
		return err
	}
	v.done = "step"
	return nil
}

func (d *Dashboard) redeem(v *visit, note string) error {
	if v.session.role != HR {
		return wrongForm("forbidden")
	}
	// A second click on the button, or a page opened before somebody else used a
	// credit, must not use another one: the form says which introduction it meant.
	d.redeeming.Lock()
	defer d.redeeming.Unlock()
	next, err := d.next(v)
	if err != nil {
		return err
	}
	if v.r.PostFormValue("number") != strconv.FormatInt(next, 10) {
		return wrongForm("twice")
	}
	_, err = d.o.Store.Redeem(v.r.Context(), v.company.ID, note)
	switch {
	case errors.Is(err, store.ErrNoCredit):
		return wrongForm("nocredit")
	case err != nil:
		return err
	}
	v.done = "redeemed"
	return nil
}

// next is the number that the next introduction would have.
func (d *Dashboard) next(v *visit) (int64, error) {
	list, err := d.o.Store.Introductions(v.r.Context(), v.company.ID)
	if err != nil || len(list) == 0 {
		return 1, err
	}
	return list[len(list)-1].Number + 1, nil
}

// esgData is the sheet for the social report.
type esgData struct {
	Years []tableRow // offered, supported, handed over, placed
	Total tableRow
}

func (d *Dashboard) esg(v *visit) (any, error) { return d.esgSheet(v) }

func (d *Dashboard) esgSheet(v *visit) (esgData, error) {
	months, total, err := d.counts(v)
	if err != nil {
		return esgData{}, err
	}
	row := func(label string, c store.Counts) tableRow {
		return tableRow{label, []figure{exact(c.Sent), exact(c.OptedIn), stepped(c.HandedOver), stepped(c.Hired)}}
	}
	data := esgData{Total: row("", total)}
	labels, sums := grouping(months, byYear)
	for i := len(labels) - 1; i >= 0; i-- {
		data.Years = append(data.Years, row(labels[i], *sums[labels[i]]))
	}
	return data, nil
}

// esgCSV is the same for a spreadsheet. It begins with the mark by which Excel
// knows UTF-8.
func (d *Dashboard) esgCSV(v *visit, p place) {
	data, err := d.esgSheet(v)
	if err != nil {
		d.trouble(v, p.name, err)
		return
	}
	texts := d.pages.texts[v.lang]
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="esg-`+v.company.ID+`.csv"`)
	v.w.Write([]byte("\ufeff")) // the visitor may be gone
	w := csv.NewWriter(v.w)
	write := func(cells ...string) { w.Write(cells) }
	write(texts["esg_year"], texts["esg_offered"], texts["esg_supported"], texts["esg_handed_over"], texts["esg_placed"])
	for _, y := range append(data.Years, tableRow{texts["total"], data.Total.Figures}) {
		cells := []string{y.Label}
		for _, f := range y.Figures {
			cells = append(cells, strings.ReplaceAll(f.String(), ",", ""))
		}
		write(cells...)
	}
	for _, key := range []string{"offered", "supported", "handed_over", "placed"} {
		write(texts["esg_"+key], texts["esg_"+key+"_means"])
	}
	write(texts["steps_title"], texts["steps_means"])
	w.Flush()
	if err := w.Error(); err != nil {
		d.o.Logger.Debug("sheet was not taken", slog.Any("err", err))
	}
}

// observeData is what the rules find, and what was left alone.
type observeData struct {
	Rules []tableRow // matched, inserted, left alone, near misses
}

func (d *Dashboard) observe(v *visit) (any, error) {
	months, _, err := d.counts(v)
	if err != nil {
		return nil, err
	}
	var data observeData
	labels, sums := grouping(months, byRule)
	for _, rule := range labels {
		if c := sums[rule]; rule != "" {
			data.Rules = append(data.Rules, tableRow{rule, []figure{exact(c.Matched), exact(c.Inserted), exact(max(c.Matched-c.Inserted, 0)), exact(c.Near)}})
		}
	}
	return data, nil
}

func (d *Dashboard) alarms(*visit) (any, error) { return d.o.Alarms(), nil }

func (d *Dashboard) health(v *visit) (any, error) { return d.o.Health(v.r.Context()), nil }

func (d *Dashboard) rules(v *visit) (any, error) {
	var mine []CompanyRules
	for _, r := range d.o.Health(v.r.Context()).Rules {
		for _, c := range v.scope {
			if c.ID == r.Company {
				mine = append(mine, r)
			}
		}
	}
	return mine, nil
}

// deliveries are what the agency has not acknowledged yet.
func (d *Dashboard) deliveries(v *visit) (any, error) {
	all, err := d.o.Store.Deliveries(v.r.Context())
	if err != nil {
		return nil, err
	}
	var mine []store.Delivery
	for _, one := range all {
		if one.Company == v.company.ID {
			mine = append(mine, one)
		}
	}
	return mine, nil
}
