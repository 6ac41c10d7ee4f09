package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/store"
)

// months is a store with these months of every company.
type months map[string][]store.Month

func (m months) Months(_ context.Context, company string) ([]store.Month, error) {
	if company == "broken" {
		return nil, errors.New("store is away")
	}
	return m[company], nil
}

func month(month, rule string, seen, matched, near, inserted int64) store.Month {
	return store.Month{Month: month, Rule: rule, Counts: store.Counts{Traffic: store.Traffic{Seen: seen, Matched: matched, Near: near, Inserted: inserted}}}
}

var watched = months{"sample": {
	month("2026-03", "", 1000, 0, 0, 0), month("2026-03", "ja.rejection", 0, 20, 3, 5), month("2026-03", "en.rejection", 0, 0, 9, 0),
	month("2026-04", "", 204, 0, 0, 0), month("2026-04", "ja.rejection", 0, 17, 1, 0),
	{Month: "2026-05", Rule: "ja.rejection", Counts: store.Counts{OptedIn: 3}},
}}

func TestObserved(t *testing.T) {
	for _, tc := range []struct {
		name, company, since string
		want                 observed
	}{
		{"all", "sample", "", observed{"sample", "2026-03", "2026-04", 1204, 37, 13, 5, []observedRule{{"ja.rejection", 37, 4, 5}, {"en.rejection", 0, 9, 0}}}},
		{"since", "sample", "2026-04", observed{"sample", "2026-04", "2026-04", 204, 17, 1, 0, []observedRule{{"ja.rejection", 17, 1, 0}}}},
		{"nothing", "other", "", observed{Company: "other", Rules: []observedRule{}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := observedOf(t.Context(), watched, []string{tc.company}, tc.since)
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], tc.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
	if _, err := observedOf(t.Context(), watched, []string{"sample", "broken"}, ""); err == nil {
		t.Error("a store that is away is not told")
	}
}

func TestPrintObserved(t *testing.T) {
	rows, err := observedOf(t.Context(), watched, []string{"sample", "other"}, "")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printObserved(&out, rows); err != nil {
		t.Fatal(err)
	}
	const want = `sample, 2026-03 to 2026-04: 37 of 1,204 mails match a rule, 5 got a link; 13 more came near
  rule          matched  near misses  got a link
  ja.rejection  37       4            5
  en.rejection  0        9            0

other: no mail yet
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1204: "1,204", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s", n, got)
		}
	}
}

func TestObservePage(t *testing.T) {
	a := admin{observed: func(ctx context.Context) ([]observed, error) {
		return observedOf(ctx, watched, []string{"sample", "other"}, "")
	}}
	w := httptest.NewRecorder()
	a.observeNow(w, httptest.NewRequest("GET", "/observe", nil))
	for _, text := range []string{"1,204 通のうち <strong>37</strong> 通", "37 of 1,204 mails match a rule", "ja.rejection", "No mail yet."} {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	a.observed = func(context.Context) ([]observed, error) { return nil, errors.New("store is away") }
	w = httptest.NewRecorder()
	if a.observeNow(w, httptest.NewRequest("GET", "/observe", nil)); w.Code != 503 {
		t.Errorf("without a store: %d", w.Code)
	}
}

// TestWatching is the week of watching in short: real mails through the relay in
// mode observe arrive as they were sent, and the report tells of each.
func TestWatching(t *testing.T) {
	h := newHop(t, "watch", startMailbox(t))
	h.write(t, strings.Replace(strings.Replace(h.text(), "mode: insert", "mode: observe", 1), "127.0.0.1:2526", h.mailbox.Addr, 1))
	h.start(t)
	for _, name := range []string{"iso-2022-jp", "english", "interview"} {
		l := h.letter(t, name, 1)
		if got := h.deliver(t, l); string(got.raw) != string(l.raw) {
			t.Errorf("%s was changed", name)
		}
	}
	var rows []observed
	await(t, "the counts", func() bool {
		got := asBinary(t, "report", "--observe", "--json", "--config", h.file)
		if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil || got.code != 0 {
			t.Fatalf("report = %+v, %v", got, err)
		}
		return len(rows) == 1 && rows[0].Seen == 3
	})
	if r := rows[0]; r.Matched != 2 || r.Changed != 0 || len(r.Rules) < 2 || r.Rules[0].Matched != 1 || r.Rules[1].Matched != 1 {
		t.Errorf("observed %+v", r)
	}
	got := asBinary(t, "report", "--observe", "--config", h.file)
	if !strings.Contains(got.stdout, "2 of 3 mails match a rule, 0 got a link") {
		t.Errorf("report = %+v", got)
	}
}
