package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// TestServeRefusesBroken starts the real binary with each broken configuration.
func TestServeRefusesBroken(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(brokenConfigs, "*.yaml"))
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d broken files, err %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			got := asBinary(t, "serve", "--config", file)
			if got.code != 1 || !strings.Contains(got.stderr, file+":") || !strings.Contains(got.stderr, "mistake") {
				t.Errorf("serve = %+v; want code 1 and the mistakes", got)
			}
		})
	}
}

// relay is a configuration of a relay in a folder of its own, on free ports.
type relay struct {
	dir, file        string
	smtp, web, admin string
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{dir: t.TempDir(), smtp: smtptest.FreeAddr(t), web: smtptest.FreeAddr(t), admin: smtptest.FreeAddr(t)}
	r.file = filepath.Join(r.dir, "careerrelay.yaml")
	r.write(t, r.text())
	return r
}

func (r *relay) text() string {
	replace := strings.NewReplacer("127.0.0.1:2525", r.smtp, "127.0.0.1:8080", r.web, "127.0.0.1:9090", r.admin)
	return replace.Replace(string(configs.Sample))
}

func (r *relay) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// running is a relay that serves inside the test.
type running struct {
	*relay
	stop func() // asks it to stop
	code chan int
	log  chan string // lines of standard error; closed at the end
}

// serve runs the relay until the test ends, and waits until it is up.
func (r *relay) serve(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	s := &running{relay: r, stop: cancel, code: make(chan int, 1), log: make(chan string, 10000)}
	go func() {
		s.code <- run(ctx, []string{"serve", "--config", r.file}, nil, io.Discard, in)
		in.Close()
	}()
	go func() {
		defer close(s.log)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.log <- lines.Text()
		}
	}()
	t.Cleanup(func() { s.end(t) })
	s.waitLog(t, "relay is up")
	return s
}

// waitLog returns the next line of the log that contains text.
func (s *running) waitLog(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	var seen []string
	for {
		select {
		case line, more := <-s.log:
			if !more {
				t.Fatalf("the relay ended without %q; its log:\n%s", text, strings.Join(seen, "\n"))
			}
			if seen = append(seen, line); strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("no %q in 10 s; the log:\n%s", text, strings.Join(seen, "\n"))
		}
	}
}

// end stops the relay and checks that it stopped well.
func (s *running) end(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case code := <-s.code:
		if code != 0 {
			t.Errorf("serve ended with %d", code)
		}
		s.code <- code // for a second call
	case <-time.After(20 * time.Second):
		t.Error("the relay did not stop in 20 s")
	}
}

func (s *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return answer(t)(http.Get("http://" + s.admin + path))
}

func (s *relay) post(t *testing.T, path string) (int, string) {
	t.Helper()
	return answer(t)(http.Post("http://"+s.admin+path, "", nil))
}

func answer(t *testing.T) func(*http.Response, error) (int, string) {
	return func(r *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
}

func TestServe(t *testing.T) {
	s := newRelay(t).serve(t)
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ok\n", "/metrics": "careerrelay_config_last_reload_successful 1",
		"/report": `"company": "sample"`,
	} {
		if code, body := s.get(t, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s = %d %s", path, code, body)
		}
	}
	for _, key := range []string{"secret", "profile-key"} {
		info, err := os.Stat(filepath.Join(s.dir, "data", key))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", key, info, err)
		}
	}
	conn, err := net.Dial("tcp", s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
		t.Errorf("greeting = %q, %v", line, err)
	}
}

func TestServeReload(t *testing.T) {
	s := newRelay(t).serve(t)
	s.write(t, strings.Replace(s.text(), "mode: insert", "mode: off", 1))
	if code, body := s.post(t, "/-/reload"); code != 200 || body != "reloaded\n" {
		t.Errorf("reload = %d %s", code, body)
	}
	s.write(t, strings.Replace(s.text(), "mode: insert", "mode: inset", 1))
	if code, body := s.post(t, "/-/reload"); code != 422 || !strings.Contains(body, `did you mean "insert"?`) {
		t.Errorf("reload of a broken file = %d %s", code, body)
	}
	if _, body := s.get(t, "/metrics"); !strings.Contains(body, "careerrelay_config_last_reload_successful 0") {
		t.Error("the metric does not show the failed reload")
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+s.admin+"/-/reload", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	if code, _ := answer(t)(http.DefaultClient.Do(request)); code != http.StatusForbidden {
		t.Errorf("reload by a foreign page = %d", code)
	}
	if code, _ := s.get(t, "/-/reload"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET reload = %d", code)
	}
}

// TestReportBothWays asks the running relay, then reads the store itself.
func TestReportBothWays(t *testing.T) {
	s := newRelay(t).serve(t)
	for _, step := range []string{"running", "stopped"} {
		got := inProcess(t, "", "report", "--config", s.file, "--json")
		var rows []map[string]any
		if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil || got.code != 0 || len(rows) != 1 {
			t.Fatalf("%s: report = %+v, %v", step, got, err)
		}
		keys := []string{"company", "seen", "matched", "inserted", "sent", "opened_human", "opened_machine", "opted_in", "opted_out", "counted", "earned", "redeemed", "paused"}
		for _, key := range keys {
			if _, there := rows[0][key]; !there {
				t.Errorf("%s: report lacks %q", step, key)
			}
		}
		if table := inProcess(t, "", "report", "--config", s.file); !strings.Contains(table.stdout, "credits") || !strings.Contains(table.stdout, "sample") {
			t.Errorf("%s: report = %+v", step, table)
		}
		if step == "running" {
			s.end(t)
		}
	}
}

func TestServeRefusesTakenThings(t *testing.T) {
	hold := func(t *testing.T, address string) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	tests := []struct {
		name string
		take func(t *testing.T, r *relay)
		want []string
	}{
		{"mail port", func(t *testing.T, r *relay) { hold(t, r.smtp) }, []string{"listen.smtp[0]", "in use by another program", "choose another port"}},
		{"pages port", func(t *testing.T, r *relay) { hold(t, r.web) }, []string{"listen.web", "in use by another program"}},
		{"admin port", func(t *testing.T, r *relay) { hold(t, r.admin) }, []string{"listen.admin", "in use by another program"}},
		{"database", func(t *testing.T, r *relay) {
			writeFiles(t, r.dir, map[string]string{"data/.keep": ""})
			s, err := bolt.Open(filepath.Join(r.dir, "data", "careerrelay.db"), bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
		}, []string{"careerrelay.db", "held by another process", "stop it"}},
		{"data folder is a file", func(t *testing.T, r *relay) {
			writeFiles(t, r.dir, map[string]string{"data": "not a folder"})
		}, []string{"secret_file", "not a directory"}},
		{"secret is damaged", func(t *testing.T, r *relay) {
			writeFiles(t, r.dir, map[string]string{"data/secret": "nonsense"})
		}, []string{"secret_file", "64 hexadecimal digits", "backup"}},
		{"database is damaged", func(t *testing.T, r *relay) {
			writeFiles(t, r.dir, map[string]string{"data/careerrelay.db": strings.Repeat("nonsense", 8192)})
		}, []string{"careerrelay.db"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRelay(t)
			tt.take(t, r)
			got := asBinary(t, "serve", "--config", r.file)
			if got.code != 1 {
				t.Errorf("serve = %+v, want code 1", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
				}
			}
			if strings.Contains(got.stderr, "goroutine ") {
				t.Errorf("a stack trace instead of a message:\n%s", got.stderr)
			}
		})
	}
}

// TestDocumentedCommands: what the command line has is in docs/commands.md.
func TestDocumentedCommands(t *testing.T) {
	page, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	help := inProcess(t, "", "--help").stdout
	_, commands, _ := strings.Cut(help, "Commands:\n")
	n := 0
	for line := range strings.Lines(commands) {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "   ") {
			continue
		}
		n++
		if !slices.ContainsFunc(strings.Split(string(page), "\n"), func(l string) bool {
			return strings.HasPrefix(l, "## ") && strings.Contains(l, words[0])
		}) {
			t.Errorf("docs/commands.md has no section for %q", words[0])
		}
	}
	if n < 6 {
		t.Errorf("found only %d commands in:\n%s", n, help)
	}
}
