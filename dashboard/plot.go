package dashboard

// Plots are SVG that the server draws. The numbers stand in a table beside each,
// so a plot may stay simple: bars from zero, on one linear scale.

// plot is a drawing as the template sees it. Lengths are in units of its own
// coordinates.
type plot struct {
	ID            string // unique on the page
	Width, Height int
	Bars          []bar
	Labels        []label
	Legend        []string // keys of texts, in the order of the bars' classes
}

type bar struct {
	X, Y, W, H int
	Class      string // s0, s1, s2: the series
}

type label struct {
	X, Y   int
	Text   string
	Key    bool   // Text is the key of a text
	Anchor string // start, middle, end
}

// barRow is one row of a horizontal plot: a label and a value for each series.
type barRow struct {
	Label  string
	Key    bool
	Values []figure
}

// Sizes of the plots.
const (
	plotWidth  = 640
	labelWidth = 190
	valueWidth = 70
	barHeight  = 18
	rowGap     = 14
)

// horizontal draws rows of bars from the left, one bar for each value.
func horizontal(id string, rows []barRow, legend []string) plot {
	p := plot{ID: id, Width: plotWidth, Legend: legend}
	most := int64(1)
	for _, r := range rows {
		for _, v := range r.Values {
			most = max(most, v.N)
		}
	}
	y := 4
	for _, r := range rows {
		p.Labels = append(p.Labels, label{labelWidth - 8, y + 13, r.Label, r.Key, "end"})
		for s, v := range r.Values {
			w := int(v.N * (plotWidth - labelWidth - valueWidth) / most)
			class := series(s)
			if len(legend) == 0 { // one series: in the colour of the product
				class = "s2"
			}
			if v.N > 0 {
				p.Bars = append(p.Bars, bar{labelWidth, y, max(w, 1), barHeight, class})
			}
			p.Labels = append(p.Labels, label{labelWidth + w + 6, y + 13, v.String(), false, "start"})
			y += barHeight + 2
		}
		y += rowGap
	}
	p.Height = y
	return p
}

// vertical draws groups of bars from the bottom, one group for each row.
func vertical(id string, rows []barRow, legend []string) plot {
	const height, foot = 200, 24
	p := plot{ID: id, Width: plotWidth, Height: height + foot, Legend: legend}
	most := int64(1)
	for _, r := range rows {
		for _, v := range r.Values {
			most = max(most, v.N)
		}
	}
	if len(rows) == 0 {
		return p
	}
	slot := plotWidth / len(rows)
	for i, r := range rows {
		w := (slot - 10) / max(len(r.Values), 1)
		for s, v := range r.Values {
			h := int(v.N * (height - 24) / most)
			x := i*slot + 5 + s*w
			p.Bars = append(p.Bars, bar{x, height - h, w - 1, h, series(s)})
		}
		p.Labels = append(p.Labels, label{i*slot + slot/2, height + 16, r.Label, r.Key, "middle"})
	}
	p.Labels = append(p.Labels, label{0, 14, grouped(most), false, "start"})
	return p
}

func series(n int) string { return string([]byte{'s', byte('0' + n%10)}) }
