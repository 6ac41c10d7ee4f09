package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"

	"github.com/careerrelay/careerrelay/configs"
)

const docsFolder = "../../docs"

// page is one page of the documentation. Its text and its fenced samples are
// kept apart: what looks like a link in a sample is none.
type page struct {
	file    string
	text    string   // without samples
	samples []sample // fenced blocks
}

type sample struct {
	at       string // file:line
	language string // the word after the fence
	text     string
}

// readPages reads the README and every page in docs.
func readPages(t *testing.T) []page {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(docsFolder, "*.md"))
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d pages, err %v", len(files), err)
	}
	top, err := filepath.Glob("../../*.md") // README, CHANGELOG and what lies beside them
	if err != nil {
		t.Fatal(err)
	}
	var pages []page
	for _, file := range append(top, files...) {
		pages = append(pages, readPage(t, file))
	}
	return pages
}

func readPage(t *testing.T, file string) page {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return splitPage(file, string(src))
}

// splitPage parts a page into text and samples.
func splitPage(file, src string) page {
	p := page{file: file}
	var text strings.Builder
	open := false
	line := 0
	for l := range strings.Lines(src) {
		line++
		fence, marked := strings.CutPrefix(strings.TrimSpace(l), "```")
		switch {
		case marked && !open:
			open = true
			p.samples = append(p.samples, sample{at: fmt.Sprintf("%s:%d", file, line), language: fence})
		case marked:
			open = false
		case open:
			p.samples[len(p.samples)-1].text += l
		default:
			text.WriteString(l)
		}
	}
	p.text = text.String()
	return p
}

func TestSplitPage(t *testing.T) {
	p := splitPage("a.md", "# A\n```yaml\nlisten: x\n```\n[b](b.md)\n```\nplain\n```\n")
	want := []sample{{"a.md:2", "yaml", "listen: x\n"}, {"a.md:6", "", "plain\n"}}
	if p.text != "# A\n[b](b.md)\n" || !slices.Equal(p.samples, want) {
		t.Errorf("page = %+v", p)
	}
}

var (
	describedMetric = regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`)
	documentedRow   = regexp.MustCompile("(?m)^\\| `(careerrelay_\\w+)` \\| \\w+ \\| ([^|]*)\\|")
	anyMetric       = regexp.MustCompile(`\bcareerrelay_\w+`)
	histogramPart   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// registeredMetrics is every metric of a running relay with its labels, those
// that have counted nothing yet included.
func registeredMetrics(t *testing.T) map[string]string {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	registry := startServer(t).registry
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	metrics := map[string]string{}
	for d := range descs {
		m := describedMetric.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if strings.HasPrefix(m[1], "careerrelay_") {
			metrics[m[1]] = m[2]
		}
	}
	return metrics
}

// startServer runs a relay with the sample configuration until the test ends.
func startServer(t *testing.T) *server {
	t.Helper()
	config, err := configs.Load(newRelay(t).file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openListeners(config.Listen, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(config, l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err, l.close())
	}
	t.Cleanup(func() {
		if err := s.shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestDocumentedMetrics: the table of docs/monitoring.md is what the relay has.
func TestDocumentedMetrics(t *testing.T) {
	registered := registeredMetrics(t)
	p := readPage(t, filepath.Join(docsFolder, "monitoring.md"))
	documented := map[string]string{}
	for _, row := range documentedRow.FindAllStringSubmatch(p.text, -1) {
		documented[row[1]] = strings.Trim(strings.TrimSpace(row[2]), "`")
	}
	if len(registered) < 10 || !maps.Equal(registered, documented) {
		t.Errorf("metrics with their labels: the relay has\n%q\ndocs/monitoring.md has\n%q", registered, documented)
	}
}

// TestMetricsInText: no page names a metric that does not exist.
func TestMetricsInText(t *testing.T) {
	registered := registeredMetrics(t)
	for _, p := range readPages(t) {
		text := p.text
		for _, s := range p.samples {
			text += s.text
		}
		for _, name := range anyMetric.FindAllString(text, -1) {
			_, known := registered[name]
			if _, part := registered[histogramPart.ReplaceAllString(name, "")]; !known && !part {
				t.Errorf("%s names %s, which the relay does not have", p.file, name)
			}
		}
	}
}

// TestDocumentedRequests: the admin listener knows the requests of its table.
func TestDocumentedRequests(t *testing.T) {
	a := startServer(t).admin()
	a.pprof = true
	handler := a.handler()
	p := readPage(t, filepath.Join(docsFolder, "monitoring.md"))
	rows := regexp.MustCompile("(?m)^\\| `(GET|POST) (/\\S+)` \\|").FindAllStringSubmatch(p.text, -1)
	for _, row := range rows {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(row[1], row[2], nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s %s = %d %s", row[1], row[2], w.Code, w.Body)
		}
	}
	if len(rows) < 5 {
		t.Errorf("found only %d requests", len(rows))
	}
}

// TestDocumentedLog: what the page tells to look for in the log is written there.
func TestDocumentedLog(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"*.go", "../../smtp/*.go", "../../agency/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(src)
		}
	}
	p := readPage(t, filepath.Join(docsFolder, "monitoring.md"))
	_, table, found := strings.Cut(p.text, "| to find | look for |")
	quoted := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1)
	if !found || len(quoted) < 8 {
		t.Fatalf("found %v, %d texts", found, len(quoted))
	}
	for _, m := range quoted {
		text, _, _ := strings.Cut(m[1], "=") // a key with a value of somebody's log
		if !strings.Contains(source.String(), `"`+text+`"`) {
			t.Errorf("docs/monitoring.md tells to look for %q, which is never logged", text)
		}
	}
}

// TestDocumentedDependencies: each direct dependency has its line, and no other.
func TestDocumentedDependencies(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var required []string
	direct := regexp.MustCompile(`^(?:require )?\s*(\S+\.\S+/\S+) v\S+$`)
	for line := range strings.Lines(string(mod)) {
		if m := direct.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			required = append(required, m[1])
		}
	}
	p := readPage(t, filepath.Join(docsFolder, "dependencies.md"))
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^` ]+)` \\|").FindAllStringSubmatch(p.text, -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(required)
	slices.Sort(documented)
	if len(required) < 10 || !slices.Equal(required, documented) {
		t.Errorf("direct dependencies: go.mod has\n%q\ndocs/dependencies.md has\n%q", required, documented)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: each link within the repository leads to a file, and to a heading
// of it if it names one.
func TestLinks(t *testing.T) {
	n := 0
	for _, p := range readPages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			n++
			target, anchor, _ := strings.Cut(m[1], "#")
			file := p.file
			if target != "" {
				file = filepath.Join(filepath.Dir(p.file), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: link to %s: %v", p.file, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(readPage(t, file).text), anchor) {
				t.Errorf("%s: link to %s: no such heading", p.file, m[1])
			}
		}
	}
	if n < 10 {
		t.Errorf("found only %d links", n)
	}
}

// anchors are the names that forges give the headings of a page.
func anchors(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading)))
	}
	return all
}

// TestSamples: each YAML sample is what it shows: a configuration that the relay
// starts with, rules that load and pass their own examples, or at least YAML.
func TestSamples(t *testing.T) {
	whole := regexp.MustCompile(`(?m)^(listen|companies):`)
	rules := regexp.MustCompile(`(?m)^language:`)
	seen := map[string]int{}
	for _, p := range readPages(t) {
		for _, s := range p.samples {
			if s.language != "yaml" {
				continue
			}
			var kind string
			var err error
			switch {
			case whole.MatchString(s.text):
				kind = "configuration"
				_, err = configs.Parse(filepath.Join(t.TempDir(), "careerrelay.yaml"), []byte(s.text))
			case rules.MatchString(s.text):
				kind = "rules"
				err = loadRules(t, s.text)
			default:
				kind = "YAML"
				var any map[string]any
				err = yaml.Unmarshal([]byte(s.text), &any)
			}
			seen[kind]++
			if err != nil {
				t.Errorf("%s: the sample of %s is broken: %v", s.at, kind, err)
			}
		}
	}
	if seen["configuration"] < 1 || seen["rules"] < 3 || seen["YAML"] < 1 {
		t.Errorf("found only %v", seen)
	}
}

// loadRules loads a sample as a company's own file, behind the built-in ones.
func loadRules(t *testing.T, text string) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := configs.LoadRules(append(configs.BuiltinRules(), "own.yaml"), dir)
	return err
}
