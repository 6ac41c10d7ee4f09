package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/configs"
)

// replayed runs replay --json and returns its lines by file name.
func replayed(t *testing.T, code int, args ...string) map[string]map[string]any {
	t.Helper()
	got := inProcess(t, "", append([]string{"replay", "--json"}, args...)...)
	if got.code != code {
		t.Fatalf("replay = %+v, want code %d", got, code)
	}
	lines := map[string]map[string]any{}
	for line := range strings.Lines(got.stdout) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines[filepath.Base(one["file"].(string))] = one
	}
	return lines
}

// TestReplayContract pins the keys and their types: scripts rely on them.
func TestReplayContract(t *testing.T) {
	lines := replayed(t, 0, "demo")
	if len(lines) != 4 {
		t.Fatalf("replayed %d mails", len(lines))
	}
	for name, line := range lines {
		var keys []string
		for key, value := range line {
			keys = append(keys, key)
			_, number := value.(float64)
			if _, text := value.(string); !text && !number || number != (key == "score") {
				t.Errorf("%s: %s is %T", name, key, value)
			}
		}
		slices.Sort(keys)
		want := []string{"action", "file", "language", "link", "reason", "rule", "score", "verdict"}
		if !slices.Equal(keys, want) {
			t.Errorf("%s: keys %q, want %q", name, keys, want)
		}
		inserted := name != "4-interview-iso-2022-jp.eml"
		if (line["action"] == "insert") != inserted || (line["verdict"] == "rejection") != inserted ||
			strings.HasPrefix(line["link"].(string), "https://relay.example.net/") != inserted || (line["reason"] == "") != inserted {
			t.Errorf("%s: %v", name, line)
		}
	}
	if got := lines["3-rejection-english.eml"]["language"]; got != "en" {
		t.Errorf("language = %v", got)
	}
}

// TestReplayOut: what is written is the input plus insertions, or the input; the
// same in each run.
func TestReplayOut(t *testing.T) {
	in, out, again := t.TempDir(), t.TempDir(), t.TempDir()
	for _, name := range []string{"1-rejection-iso-2022-jp.eml", "2-rejection-html.eml", "4-interview-iso-2022-jp.eml"} {
		raw, err := os.ReadFile(filepath.Join("demo", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFiles(t, in, map[string]string{filepath.Join("deep", "er", name): string(raw)})
	}
	writeFiles(t, in, map[string]string{"zero.eml": "", "garbage.eml": "\x00\xff\r\n\r\r\n\x80", "header.eml": "Subject: half", "lf.eml": "From: a@b.example\nTo: c@d.example\n\nhello\n"})
	lines := replayed(t, 0, "--out", out, "--public-url", "https://relay.test.example", in)
	replayed(t, 0, "--out", again, "--public-url", "https://relay.test.example", in)
	files, err := mailFiles([]string{in})
	if err != nil || len(files) != 7 || len(lines) != 7 {
		t.Fatalf("%d files, %d lines, %v", len(files), len(lines), err)
	}
	for _, f := range files {
		before, errBefore := os.ReadFile(filepath.Join(in, f.name))
		after, errAfter := os.ReadFile(filepath.Join(out, f.name))
		second, errAgain := os.ReadFile(filepath.Join(again, f.name))
		if errBefore != nil || errAfter != nil || errAgain != nil {
			t.Fatal(errBefore, errAfter, errAgain)
		}
		if !bytes.Equal(after, second) {
			t.Errorf("%s: two runs differ", f.name)
		}
		line := lines[filepath.Base(f.name)]
		if inserted := line["action"] == "insert"; inserted == bytes.Equal(before, after) {
			t.Errorf("%s: action %v, changed %v", f.name, line["action"], !bytes.Equal(before, after))
		}
		if got := inProcess(t, "", "prove", filepath.Join(in, f.name), filepath.Join(out, f.name)); got.code != 0 {
			t.Errorf("%s is not proven: %+v", f.name, got)
		}
	}
	if link := lines["1-rejection-iso-2022-jp.eml"]["link"].(string); !strings.HasPrefix(link, "https://relay.test.example/") || len(link) > 70 {
		t.Errorf("link = %q", link)
	}
}

// TestReplayCorpus: each edit of the whole corpus is proven, and no mail that is
// labelled otherwise gets a link.
func TestReplayCorpus(t *testing.T) {
	const corpus = "../../testdata/corpus"
	out := t.TempDir()
	got := inProcess(t, "", "replay", "--out", out, corpus)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("replay = code %d, %s", got.code, got.stderr)
	}
	rows, err := readManifests(corpus)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, row := range rows {
		name, err := filepath.Rel(corpus, row.path)
		if err != nil {
			t.Fatal(err)
		}
		proof := inProcess(t, "", "prove", row.path, filepath.Join(out, name))
		if proof.code != 0 {
			t.Errorf("%s: %+v", name, proof)
		}
		edited := strings.Contains(proof.stdout, "inserted, at")
		if edited && row.label == "other" && row.difficulty != "judgement" {
			t.Errorf("%s: a link in a mail that is no rejection (%s)", name, row.reason)
		}
		if edited && row.label == "rejection" {
			found++
		}
	}
	if found < 40 {
		t.Errorf("only %d rejections got a link", found)
	}
}

func TestReplayWithConfig(t *testing.T) {
	dir := t.TempDir()
	mail := func(from, to string) string {
		raw, err := os.ReadFile("demo/3-rejection-english.eml")
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer("careers@sample.example.jp", from, "alex.morgan@mail.example.com", to).Replace(string(raw))
	}
	config := strings.Replace(string(configs.Sample), "public_url: http://127.0.0.1:8080", "public_url: https://c.example", 1)
	second := config[strings.Index(config, "  - id: sample"):]
	second = strings.NewReplacer("id: sample", "id: second", "sample.example.jp", "second.example", "mode: insert", "mode: observe").Replace(second)
	writeFiles(t, dir, map[string]string{
		"c.yaml":          config + second,
		"m/one.eml":       mail("careers@sample.example.jp", "a@b.example"),
		"m/sub.eml":       mail("careers@hr.sample.example.jp", "a@b.example"),
		"m/observed.eml":  mail("x@second.example", "a@b.example"),
		"m/stranger.eml":  mail("x@third.example", "a@b.example"),
		"m/colleague.eml": mail("careers@sample.example.jp", "boss@sample.example.jp"),
		"m/two.eml":       mail("careers@sample.example.jp", "a@b.example>, <c@d.example"),
	})
	lines := replayed(t, 0, "--config", filepath.Join(dir, "c.yaml"), filepath.Join(dir, "m"))
	for name, want := range map[string]string{
		"one.eml": "", "sub.eml": "", "observed.eml": "observe", "stranger.eml": "no_company",
		"colleague.eml": "no_candidate", "two.eml": "several_candidates",
	} {
		if got := lines[name]; got["reason"] != want || (got["action"] == "insert") != (want == "") {
			t.Errorf("%s: %v, want reason %q", name, got, want)
		}
	}
	if link := lines["one.eml"]["link"].(string); !strings.HasPrefix(link, "https://c.example/") {
		t.Errorf("link = %q", link)
	}
}

func TestReplayRefused(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a/1.eml": "x", "b/1.eml": "y", "c/.keep": ""})
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no mail", []string{"replay", filepath.Join(dir, "c")}, 1, "no mail found"},
		{"no such path", []string{"replay", filepath.Join(dir, "d")}, 1, "no such file"},
		{"no path", []string{"replay"}, 2, "path"},
		{"two of one name", []string{"replay", "--out", t.TempDir(), filepath.Join(dir, "a"), filepath.Join(dir, "b")}, 1, "its own run"},
		{"public url", []string{"replay", "--public-url", "relay", filepath.Join(dir, "a")}, 1, "not a web address"},
		{"broken configuration", []string{"replay", "--config", filepath.Join(brokenConfigs, "mode.yaml"), filepath.Join(dir, "a")}, 1, "1 mistake"},
		{"out is a file", []string{"replay", "--out", filepath.Join(dir, "a", "1.eml"), filepath.Join(dir, "b")}, 1, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := inProcess(t, "", tt.args...); got.code != tt.code || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("%+v, want code %d and %q", got, tt.code, tt.want)
			}
		})
	}
}

func TestProve(t *testing.T) {
	dir := t.TempDir()
	head := "From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\n\r\n"
	trace := "Received: from x\r\n\tby y; Mon, 02 Nov 2026 10:15:00 +0900\r\nX-Career-Relay: relayed; 1; abc\r\n"
	writeFiles(t, dir, map[string]string{
		"before": head + "one\r\nthree\r\n", "same": head + "one\r\nthree\r\n",
		"traced": trace + head + "one\r\nthree\r\n", "inserted": trace + head + "one\r\ntwo\r\nthree\r\n",
		"changed": head + "one\r\nTHREE\r\n", "shorter": head + "one\r\n", "two": head + "0\r\none\r\n2\r\nthree\r\n4\r\n",
		"subject": strings.Replace(head, "Subject: s", "Subject: t", 1) + "one\r\nthree\r\n",
	})
	tests := []struct {
		after string
		code  int
		want  string
	}{
		{"same", 0, "nothing inserted"},
		{"traced", 0, "nothing inserted"},
		{"inserted", 0, "+ t"},
		{"changed", 1, "line 6"},
		{"shorter", 1, "line 6"},
		{"two", 1, "part 1"},
		{"subject", 1, "header"},
		{"none", 1, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.after, func(t *testing.T) {
			got := inProcess(t, "", "prove", filepath.Join(dir, "before"), filepath.Join(dir, tt.after))
			if got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.want) {
				t.Errorf("prove = %+v, want code %d and %q", got, tt.code, tt.want)
			}
		})
	}
	got := inProcess(t, "", "prove", "--json", filepath.Join(dir, "before"), filepath.Join(dir, "inserted"))
	var spans []map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &spans); err != nil || len(spans) != 1 || spans[0]["bytes"] != 5.0 {
		t.Errorf("prove --json = %+v, %v", got, err)
	}
}

func TestExplain(t *testing.T) {
	got := inProcess(t, "", "explain", "demo/2-rejection-html.eml")
	for _, want := range []string{
		"書類選考の結果について", "rejection, rule ja-", "action   insert", "貴意に添いかねる", "text/html, UTF-8, quoted-printable",
		"<- edited", "insertion in the plain text", "insertion in the HTML", "  + https://relay.example.net/",
	} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("explain lacks %q:\n%s%s", want, got.stdout, got.stderr)
		}
	}
	if strings.Contains(got.stdout, "\x1b[") {
		t.Error("colours where no terminal is")
	}
	raw, err := os.ReadFile("demo/4-interview-iso-2022-jp.eml")
	if err != nil {
		t.Fatal(err)
	}
	got = inProcess(t, string(raw), "explain", "-", "--json")
	var e explanation
	if err := json.Unmarshal([]byte(got.stdout), &e); err != nil || e.Action != "pass" || e.Verdict != "none" || len(e.Parts) != 1 || e.Reason == "" {
		t.Errorf("explain --json = %+v, %v", got, err)
	}
}

func TestScore(t *testing.T) {
	got := inProcess(t, "", "score", "../../testdata/corpus")
	if got.code != 0 || !strings.Contains(got.stdout, "counted") || !strings.Contains(got.stdout, "leaver  labelled") {
		t.Errorf("score = %+v", got)
	}
	if got := inProcess(t, "", "score", t.TempDir()); got.code != 1 || !strings.Contains(got.stderr, "manifest.tsv") {
		t.Errorf("score of an empty folder = %+v", got)
	}
}

// TestReplayOwnHost: a mail that names another page of the host that our links are
// on is no mail of ours; the relay edits it, and so does replay.
func TestReplayOwnHost(t *testing.T) {
	in := t.TempDir()
	const letter = "From: HR <jobs@corp.example>\r\nTo: jo@mail.example\r\nSubject: Your application\r\n\r\n" +
		"Thank you for applying at %s for the analyst position.\r\nUnfortunately we have decided not to move forward with your application.\r\n"
	writeFiles(t, in, map[string]string{
		"careers.eml": fmt.Sprintf(letter, "https://relay.example.net/careers"),
		"link.eml":    fmt.Sprintf(letter, "https://relay.example.net/r/aaaa"),
	})
	lines := replayed(t, 0, in)
	if got := lines["careers.eml"]; got["action"] != "insert" {
		t.Errorf("another page of the host: %v", got)
	}
	if got := lines["link.eml"]; got["action"] != "pass" || got["reason"] != "already_present" {
		t.Errorf("a link of ours: %v", got)
	}
}
