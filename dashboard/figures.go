package dashboard

import (
	"slices"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// step is the width of the steps in which the agency's reports are shown.
const step = 5

// Steps brings a number about few people into steps of five: 0 stands for fewer
// than five, 5 for five to nine, and so on. All shown numbers are multiples of
// five, and so are their differences: neither the difference of two cells, nor of
// a total and its parts, nor of today and yesterday speaks of fewer than five
// people for sure.
func Steps(n int64) int64 { return max(n, 0) / step * step }

// figure is one number on a page.
type figure struct {
	N       int64 // as shown
	Stepped bool  // in steps of five
	None    bool  // there is no such number
}

func exact(n int64) figure   { return figure{N: n} }
func stepped(n int64) figure { return figure{N: Steps(n), Stepped: true} }

// Few reports whether there are too few to say how many.
func (f figure) Few() bool { return f.Stepped && f.N == 0 }

// String is the figure in a CSV file.
func (f figure) String() string {
	switch {
	case f.None:
		return ""
	case f.Few():
		return "<5"
	case f.Stepped:
		return grouped(f.N) + "+"
	}
	return grouped(f.N)
}

// stages of the funnel, in their order; the texts name them. What follows the
// opt-in is the agency's to report.
var stages = []string{"seen", "matched", "inserted", "sent", "opened", "opted_in", "handed_over", "introduced", "hired"}

// asides are shown in the tables beside the stages.
var asides = []string{"opened_machine", "opted_out", "withdrawn"}

// figuresOf are the stages of one row. byRule rows have no traffic that no rule
// saw.
func figuresOf(c store.Counts, byRule bool) (funnel, beside []figure) {
	seen := exact(c.Seen)
	seen.None = byRule
	return []figure{seen, exact(c.Matched), exact(c.Inserted), exact(c.Sent), exact(c.OpenedHuman), exact(c.OptedIn),
			stepped(c.HandedOver), stepped(c.Introduced), stepped(c.Hired)},
		[]figure{exact(c.OpenedMachine), exact(c.OptedOut), exact(c.Withdrawn)}
}

// tableRow is one month, rule or year.
type tableRow struct {
	Label   string
	Figures []figure
}

// add sums the counts of a month into c; the balance is not summed.
func add(c *store.Counts, d store.Counts) {
	c.Seen += d.Seen
	c.Matched += d.Matched
	c.Near += d.Near
	c.Inserted += d.Inserted
	c.Sent += d.Sent
	c.OpenedHuman += d.OpenedHuman
	c.OpenedMachine += d.OpenedMachine
	c.OptedIn += d.OptedIn
	c.OptedOut += d.OptedOut
	c.Withdrawn += d.Withdrawn
	c.HandedOver += d.HandedOver
	c.Introduced += d.Introduced
	c.Hired += d.Hired
}

// grouping sums months by a label, in the order of the labels.
func grouping(months []store.Month, label func(store.Month) string) (labels []string, sums map[string]*store.Counts) {
	sums = map[string]*store.Counts{}
	for _, m := range months {
		l := label(m)
		if sums[l] == nil {
			sums[l] = &store.Counts{}
			labels = append(labels, l)
		}
		add(sums[l], m.Counts)
	}
	slices.Sort(labels)
	return labels, sums
}

func byMonth(m store.Month) string { return m.Month }
func byRule(m store.Month) string  { return m.Rule }

// byYear is the Japanese business year, which begins in April, by the year it
// begins in.
func byYear(m store.Month) string {
	at, err := time.Parse("2006-01", m.Month)
	if err != nil {
		return m.Month
	}
	return at.AddDate(0, -3, 0).Format("2006")
}

// lastMonths are the labels of the n months up to now, oldest first.
func lastMonths(now time.Time, n int) []string {
	first := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	var labels []string
	for i := n - 1; i >= 0; i-- {
		labels = append(labels, first.AddDate(0, -i, 0).Format("2006-01"))
	}
	return labels
}

func (r tableRow) String() string {
	var cells []string
	for _, f := range r.Figures {
		cells = append(cells, f.String())
	}
	return r.Label + ": " + strings.Join(cells, " ")
}
