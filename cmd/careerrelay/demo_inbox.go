package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"

	"github.com/careerrelay/careerrelay/rewrite"
)

//go:embed demo/inbox.html
var inboxHTML string

// inboxPage shows what arrived at the demo's mail server, and marks what the
// relay added.
type inboxPage struct {
	box    *inbox
	page   *template.Template
	smtp   string // where to send mail
	domain string // of the sample company
	link   string // what links begin with
}

func newInboxPage(box *inbox, smtp, domain, link string) (http.Handler, error) {
	page, err := template.New("inbox").Parse(inboxHTML)
	if err != nil {
		return nil, fmt.Errorf("parse inbox page: %w", err)
	}
	p := &inboxPage{box: box, page: page, smtp: smtp, domain: domain, link: link}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo/inbox", p.list)
	mux.HandleFunc("GET /demo/inbox/{id}", p.message)
	return mux, nil
}

// inboxView is what the page shows: a list, or one message.
type inboxView struct {
	SMTP, Domain           string
	Messages               []inboxRow
	Subject, To, Did, Link string
	HTML                   string // for the frame's srcdoc; the frame runs no scripts
	Text, Raw              []piece
}

type inboxRow struct {
	ID                   int
	At, To, Subject, Did string
}

// piece is a stretch of text; Mark is the class of what the relay added, or "".
type piece struct{ Text, Mark string }

func (p *inboxPage) list(w http.ResponseWriter, _ *http.Request) {
	v := inboxView{SMTP: p.smtp, Domain: p.domain}
	for _, a := range p.box.all() {
		v.Messages = append(v.Messages, inboxRow{
			ID: a.ID, At: a.At.Format("15:04:05"), To: strings.Join(a.To, ", "), Subject: subjectOf(a.Raw), Did: a.did(),
		})
	}
	p.show(w, v)
}

func (p *inboxPage) message(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	for _, a := range p.box.all() {
		if err == nil && a.ID == id {
			p.show(w, inboxView{
				Subject: subjectOf(a.Raw), To: strings.Join(a.To, ", "), Did: a.did(), Link: linkIn(a.Raw, p.link),
				HTML: a.html(), Text: a.text(), Raw: a.marked(),
			})
			return
		}
	}
	http.NotFound(w, r)
}

func (p *inboxPage) show(w http.ResponseWriter, v inboxView) {
	var b bytes.Buffer
	if err := p.page.Execute(&b, v); err != nil {
		http.Error(w, "cannot show the inbox", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = b.WriteTo(w) // the reader went away
}

func subjectOf(raw []byte) string {
	e, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		return "(unreadable)"
	}
	if s := e.GetHeader("Subject"); s != "" {
		return s
	}
	return "(no subject)"
}

// did says in a few words what the relay did to the message.
func (a arrival) did() string {
	inserted, err := a.insertions()
	switch {
	case a.Before == nil:
		return "Its original was not seen."
	case err != nil:
		return "Changed otherwise than by insertions: " + err.Error()
	case len(inserted) == 0:
		return "Passed on unedited."
	}
	return fmt.Sprintf("Link inserted in %s, proven byte for byte.", count(len(inserted), "part", "parts"))
}

// text is the plain text as a person reads it.
func (a arrival) text() []piece {
	after, before := readParts(a.Raw), readParts(a.Before)
	if a.Before == nil {
		return []piece{{Text: after.Text}}
	}
	return addition(before.Text, after.Text)
}

// html is the HTML part with the addition outlined; "" if there is none.
func (a arrival) html() string {
	after, before := readParts(a.Raw), readParts(a.Before)
	if after.HTML == "" || a.Before == nil {
		return after.HTML
	}
	var b strings.Builder
	b.WriteString(`<base target="_blank">`)
	for _, p := range addition(before.HTML, after.HTML) {
		if p.Mark == "" {
			b.WriteString(p.Text)
			continue
		}
		fmt.Fprintf(&b, `<div style="outline:3px solid #1c7c2e;background:#c9f2cf">%s</div>`, p.Text)
	}
	return b.String()
}

func readParts(raw []byte) *enmime.Envelope {
	e, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		return &enmime.Envelope{}
	}
	return e
}

// addition finds what after has and before has not, if that is one stretch. If
// it could begin at several places (text around it repeats), it begins with a
// tag or a line.
func addition(before, after string) []piece {
	n := len(after) - len(before)
	start := 0
	for start < len(before) && start < len(after) && before[start] == after[start] {
		start++
	}
	if n <= 0 || before[start:] != after[start+n:] {
		return []piece{{Text: after}}
	}
	natural := func(at int) bool { return at == 0 || after[at] == '<' || after[at-1] == '\n' && after[at] != '\n' }
	best := start
	for at := start; at >= 0; at-- {
		if natural(at) {
			best = at
			break
		}
		if at == 0 || after[at-1] != after[at-1+n] {
			break
		}
	}
	return []piece{{Text: after[:best]}, {Text: after[best : best+n], Mark: "block"}, {Text: after[best+n:]}}
}

// readable shows bytes that are no UTF-8 text as escapes.
func readable(raw []byte) string {
	var b strings.Builder
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, raw[0])
		case r == '\r':
		case r == 0x1b:
			b.WriteRune('␛')
		case r < ' ' && r != '\n' && r != '\t':
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
		raw = raw[n:]
	}
	return b.String()
}

// tokenForm is the secret at the end of a link.
const tokenForm = `[a-z2-7]{26}`

// linkIn finds the candidate's link in a message, or returns "".
func linkIn(raw []byte, base string) string {
	link := regexp.MustCompile(regexp.QuoteMeta(strings.TrimSuffix(base, "/")) + `/(?:[a-z]{1,2}/)?` + tokenForm)
	e := readParts(raw)
	return cmp.Or(link.FindString(e.Text), link.FindString(e.HTML))
}

// marked is the raw message with what the relay added marked: the lines above
// the client's first header field, and the insertions.
func (a arrival) marked() []piece {
	inserted, err := a.insertions()
	if a.Before == nil || err != nil {
		return []piece{{Text: readable(a.Raw)}}
	}
	added := 0
	for _, in := range inserted {
		added += int(in.Bytes)
	}
	trace := min(max(len(a.Raw)-len(a.Before)-added, 0), len(a.Raw))
	pieces := []piece{{Text: readable(a.Raw[:trace]), Mark: "trace"}}
	at := trace
	for _, in := range inserted {
		start, end := max(int(in.Start), at), max(int(in.End), at)
		pieces = append(pieces, piece{Text: readable(a.Raw[at:start])}, piece{Text: readable(a.Raw[start:end]), Mark: "block"})
		at = end
	}
	return slices.DeleteFunc(append(pieces, piece{Text: readable(a.Raw[at:])}), func(p piece) bool { return p.Text == "" })
}

// insertions are found from the outside, as "careerrelay prove" finds them.
func (a arrival) insertions() ([]rewrite.Inserted, error) {
	if a.Before == nil {
		return nil, nil
	}
	return rewrite.Compare(bytes.NewReader(a.Before), int64(len(a.Before)), bytes.NewReader(a.Raw), int64(len(a.Raw)))
}
