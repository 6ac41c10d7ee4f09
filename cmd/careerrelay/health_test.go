package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// TestHealth asks a running relay and one that is not there.
func TestHealth(t *testing.T) {
	s := newRelay(t).serve(t)
	for _, args := range [][]string{{"health"}, {"health", "--ready"}} {
		got := inProcess(t, "", append(args, "--config", s.file)...)
		if got.code != 0 || got.stdout != "ok\n" || got.stderr != "" {
			t.Errorf("%q = %+v", args, got)
		}
	}
	s.end(t)
	got := inProcess(t, "", "health", "--config", s.file)
	if got.code != 1 || !strings.Contains(got.stderr, "connection refused") {
		t.Errorf("health of a stopped relay = %+v", got)
	}
	s.write(t, strings.Replace(s.text(), "  admin:", "  # admin:", 1))
	got = inProcess(t, "", "health", "--config", s.file)
	if got.code != 1 || !strings.Contains(got.stderr, "set listen.admin") {
		t.Errorf("health without an admin listener = %+v", got)
	}
}

// TestMetricsListener: metrics and health are there, and nothing that acts or
// tells more.
func TestMetricsListener(t *testing.T) {
	r := newRelay(t)
	address := smtptest.FreeAddr(t)
	r.write(t, strings.Replace(r.text(), "  admin:", "  metrics: "+address+"\n  admin:", 1)+"\npprof: true\n")
	r.serve(t)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/report": 404, "/debug/pprof/": 404, "/": 404} {
		if code, body := answer(t)(http.Get("http://" + address + path)); code != want {
			t.Errorf("GET %s = %d %s, want %d", path, code, body, want)
		}
	}
	if code, _ := answer(t)(http.Post("http://"+address+"/-/reload", "", nil)); code != http.StatusNotFound {
		t.Errorf("POST reload = %d, want 404", code)
	}
}

// TestProfiles: on the admin listener alone, and only if the configuration says so.
func TestProfiles(t *testing.T) {
	for text, want := range map[string]int{"": 404, "\npprof: true\n": 200} {
		r := newRelay(t)
		r.write(t, r.text()+text)
		s := r.serve(t)
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
			if code, _ := s.get(t, path); code != want {
				t.Errorf("%q: GET %s = %d, want %d", text, path, code, want)
			}
			if code, body := answer(t)(http.Get("http://" + s.web + path)); code == 200 && strings.Contains(body, "goroutine") {
				t.Errorf("the pages serve %s", path)
			}
		}
		s.end(t)
	}
}
