package rewrite

import (
	"slices"
	"strings"
	"testing"
)

// FuzzIndex: whatever the message, its parts lie inside each other and in order.
func FuzzIndex(f *testing.F) {
	for _, c := range append(mimeCases, moreMIMECases...) {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer bounded(t)()
		m := mustParse(t, raw)
		at := int64(0)
		m.Root.Walk(func(p *Part) {
			if p.Header.Start < at || p.Header.End < p.Header.Start || p.Body.Start < p.Header.End || p.Body.End < p.Body.Start || p.Body.End > int64(len(raw)) {
				t.Fatalf("part with header %v and body %v behind offset %d of %d", p.Header, p.Body, at, len(raw))
			}
			at = p.Body.Start
			if len(p.Children) == 0 {
				at = p.Body.End
			}
			if up := p.Parent; up != nil && (p.Header.Start < up.Body.Start || p.Body.End > up.Body.End) {
				t.Fatalf("part %v outside its parent %v", p.Body, up.Body)
			}
		})
	})
}

// FuzzHTMLPlace: a block put into any HTML is seen, is no quotation, and changes
// no other line that a person sees.
func FuzzHTMLPlace(f *testing.F) {
	for _, c := range append(mimeCases, moreMIMECases...) {
		if strings.Contains(c.raw, htmlPart[:20]) {
			_, body, _ := strings.Cut(c.raw, "\r\n\r\n")
			f.Add(body)
		}
	}
	const block = "<div><p>our block</p></div>"
	f.Fuzz(func(t *testing.T, source string) {
		defer bounded(t)()
		v := htmlPartView(source)
		if _, found := v.placeholder(Block{}); found || strings.Contains(source, "our block") {
			return
		}
		p, err := v.place(Block{HTML: block})
		if err != nil {
			return
		}
		after := htmlPartView(source[:p.start] + p.text + source[p.end:])
		i := slices.IndexFunc(after.lines, func(l line) bool { return l.text == "our block" })
		if i < 0 || after.lines[i].quoted {
			t.Fatalf("block at %d is not seen in %q", p.start, source)
		}
		words := func(lines []line) string {
			var b strings.Builder
			for _, l := range lines {
				b.WriteString(strings.Join(strings.Fields(l.text), ""))
			}
			return b.String()
		}
		if got, want := words(slices.Delete(slices.Clone(after.lines), i, i+1)), words(v.lines); got != want {
			t.Fatalf("the rest reads %q, before %q", got, want)
		}
	})
}

func htmlPartView(source string) *view {
	h := readHTML(source)
	v := &view{leaf: &leaf{part: &Part{MediaType: "text/html"}, text: mapped{text: source}}, html: &h, lines: h.lines}
	v.layout = findLayout(v.lines)
	return v
}
