package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// shippedQueries are the queries of the dashboard and of the alert rules, with
// the name of the panel or the alert.
func shippedQueries(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	raw, err := os.ReadFile("../../packaging/grafana/careerrelay.json")
	if err == nil {
		err = json.Unmarshal(raw, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all[p.Title+": "+target.Expr] = target.Expr
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	raw, err = os.ReadFile("../../packaging/prometheus/careerrelay.rules.yml")
	if err == nil {
		err = yaml.Unmarshal(raw, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		all[r.Alert] = r.Expr
	}
	return all
}

var (
	usedMetric = regexp.MustCompile(`\b((?:careerrelay|process|go)_\w+)(?:\{([^}]*)\})?`)
	usedLabel  = regexp.MustCompile(`(\w+)="([^"]*)"`)
	grouped    = regexp.MustCompile(`by \(([^)]*)\)`)
)

// TestShippedQueries: the dashboard and the alerts ask for metrics that the
// running relay has, by labels that those have, and for words that the page on
// monitoring knows.
func TestShippedQueries(t *testing.T) {
	s := newRelay(t).serve(t)
	_, scraped := s.get(t, "/metrics")
	registered := registeredMetrics(t)
	page := readPage(t, docsFolder+"/monitoring.md").text
	queries := shippedQueries(t)
	asked := map[string]bool{}
	for where, query := range queries {
		labels := []string{"instance", "job", "le"} // Prometheus' own
		for _, m := range usedMetric.FindAllStringSubmatch(query, -1) {
			name := m[1]
			known, ok := registered[name]
			if part := histogramPart.ReplaceAllString(name, ""); !ok {
				known, ok = registered[part]
				asked[part] = ok
			}
			asked[name] = true
			labels = append(labels, strings.Split(known, ",")...)
			if !ok && !strings.Contains(scraped, "\n"+name+" ") {
				t.Errorf("%s: the relay has no metric %s", where, name)
			}
			for _, l := range usedLabel.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(labels, l[1]) || l[1] != "job" && !strings.Contains(page, "`"+l[2]+"`") {
					t.Errorf("%s: %s has no label %s, or never with %q", where, name, l[1], l[2])
				}
			}
		}
		for _, g := range grouped.FindAllStringSubmatch(query, -1) {
			for _, label := range strings.Split(g[1], ", ") {
				if !slices.Contains(labels, label) {
					t.Errorf("%s: groups by %s, a label of none of its metrics", where, label)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(registered)) {
		if !asked[name] {
			t.Errorf("neither the dashboard nor an alert asks for %s", name)
		}
	}
	if len(queries) < 30 {
		t.Errorf("found only %d queries", len(queries))
	}
}

// TestRunbooks: each alert names a heading of the operations page, in both languages.
func TestRunbooks(t *testing.T) {
	raw, err := os.ReadFile("../../packaging/prometheus/careerrelay.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	runbooks := regexp.MustCompile(`runbook: "([^"]+)"`).FindAllStringSubmatch(string(raw), -1)
	headings := anchors(readPage(t, docsFolder+"/operations.md").text)
	japanese := readPage(t, docsFolder+"/operations.ja.md").text
	for _, r := range runbooks {
		if !slices.Contains(headings, r[1]) {
			t.Errorf("docs/operations.md has no heading for the runbook %q", r[1])
		}
		if !strings.Contains(japanese, "operations.md#"+r[1]) {
			t.Errorf("docs/operations.ja.md does not lead to the runbook %q", r[1])
		}
	}
	if len(runbooks) < 10 {
		t.Errorf("found only %d runbooks", len(runbooks))
	}
}

// TestNamedTests: each threat of the security page names a test that holds its
// answer, and the test is there.
func TestNamedTests(t *testing.T) {
	sources := testSources(t)
	_, table, _ := strings.Cut(readPage(t, docsFolder+"/security.md").text, "| threat |")
	table, _, _ = strings.Cut(table, "\n## ")
	n := 0
	for row := range strings.Lines(table) {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| ---") {
			continue
		}
		n++
		names := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(row, -1)
		if len(names) == 0 {
			t.Errorf("no test is named for: %s", row)
		}
		for _, name := range names {
			if !strings.Contains(sources, "\nfunc "+name[1]+"(") {
				t.Errorf("docs/security.md names %s, which does not exist", name[1])
			}
		}
	}
	if n < 15 {
		t.Errorf("found only %d threats", n)
	}
}

// testSources is the text of all test files of the project.
func testSources(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, folder := range []string{".", "../../packaging", "../../configs", "../../smtp", "../../rewrite", "../../web", "../../store", "../../store/bolt", "../../store/storetest", "../../store/postgres"} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			raw, err := os.ReadFile(folder + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			text.Write(raw)
		}
	}
	return text.String()
}
