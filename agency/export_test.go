package agency

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/careerrelay/careerrelay/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v, got\n%s\nwant\n%s", file, err, got, want)
	}
}

func (r *relay) export(o ExportOptions) (string, Exported) {
	r.t.Helper()
	var b bytes.Buffer
	done, err := r.desk.Export(r.t.Context(), &b, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return b.String(), done
}

// TestExport: who was handed over is exported; who was not only when asked for,
// and then it is recorded.
func TestExport(t *testing.T) {
	r := newRelay(t)
	one := r.person(1, nil)
	two := r.person(2, func(o *store.Offer) { o.Company, o.Kind = "d", store.KindLeaver })
	r.person(3, func(o *store.Offer) { o.Test = true })
	r.sent(4, nil)
	if text, done := r.export(ExportOptions{Format: "jsonl"}); text != "" || done != (Exported{Waiting: 2}) {
		t.Errorf("before the hand-over: %+v\n%s", done, text)
	}
	text, done := r.export(ExportOptions{Format: "jsonl", HandOver: true, Ack: "export 2026-06-01", Company: "c"})
	var p Person
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.ID != one.ID || p.Profile.Mail != "taro1@mail.example" || p.HandedOverAt == nil {
		t.Errorf("%v: %s", err, text)
	}
	if rec := r.lastRecord(); done != (Exported{People: 1, HandedOver: 1}) || rec.Kind != store.RecordProvision || rec.Receiver.Ack != "export 2026-06-01" {
		t.Errorf("%+v, record %+v", done, rec)
	}
	r.clock.pass(24 * time.Hour)
	if _, err := r.store.SetAgencyState(t.Context(), one.ID, store.Hired); err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"ja", "en"} {
		text, done = r.export(ExportOptions{Format: "csv", Language: language, HandOver: true})
		if done.People != 2 {
			t.Errorf("%+v", done)
		}
		text = strings.NewReplacer("\r\n", "\n", one.ID, "ID-1", two.ID, "ID-2").Replace(text)
		golden(t, "export."+language+".csv", text)
	}
	if _, done = r.export(ExportOptions{Format: "jsonl", From: r.clock.now()}); done.People != 0 {
		t.Errorf("from now on: %+v", done)
	}
	r.clock.pass(31 * 24 * time.Hour)
	if _, err := r.store.Purge(t.Context(), store.Retention{}); err != nil {
		t.Fatal(err)
	}
	if _, done = r.export(ExportOptions{Format: "csv", Language: "ja"}); done != (Exported{People: 2, Gone: 2}) {
		t.Errorf("after the profiles were dropped: %+v", done)
	}
	for _, o := range []ExportOptions{{Format: "xml"}, {Format: "csv", Language: "fr"}} {
		if _, err := r.desk.Export(t.Context(), &bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestExportWithoutKey: a profile that cannot be opened stops the export, and
// nothing is recorded as handed over.
func TestExportWithoutKey(t *testing.T) {
	r := newRelay(t)
	ref := r.person(1, nil)
	r.desk.Open = func(string, []byte) ([]byte, error) { return nil, store.ErrSealed }
	_, err := r.desk.Export(t.Context(), &bytes.Buffer{}, ExportOptions{Format: "jsonl", HandOver: true})
	if !errors.Is(err, store.ErrSealed) || !strings.Contains(err.Error(), ref.ID) || !r.referral(ref.ID).HandedOverAt.IsZero() {
		t.Errorf("got %v", err)
	}
	r.desk.Open = func(string, []byte) ([]byte, error) { return []byte(`{"family_name": 山田`), nil }
	if _, err = r.desk.Export(t.Context(), &bytes.Buffer{}, ExportOptions{Format: "jsonl", HandOver: true}); err == nil || strings.Contains(err.Error(), "山田") {
		t.Errorf("got %v", err)
	}
}

// TestNoFormula: nothing that a candidate types begins a formula in a spreadsheet,
// and what was typed can be read back.
func TestNoFormula(t *testing.T) {
	for _, typed := range []string{"=1+1", "+81-90-1234-5678", "-5", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠x", "'=1", "=HYPERLINK(\"https://x\",\"y\")", "=1\n+2,;\""} {
		if got := harmless(typed); got != "'"+typed {
			t.Errorf("%q became %q", typed, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		typed := rapid.String().Draw(t, "typed")
		cells := row(Person{Profile: &Profile{Wishes: typed, Phone: typed}}, "ja")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		if err := w.Write(cells); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if len(cells) != len(headings["ja"]) || len(cells) != len(headings["en"]) {
			t.Fatalf("%d cells", len(cells))
		}
		for _, cell := range cells {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
				t.Fatalf("cell %q", cell)
			}
		}
	})
}
