package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/dashboard"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// withDashboard starts a relay with one user of each role; the password is
// "secret".
func withDashboard(t *testing.T) (s *server, base string) {
	t.Helper()
	r := newRelay(t)
	hash := strings.TrimSpace(wantRun(t, 0, "secret\n", "hash", "--dashboard").stdout)
	desk := smtptest.FreeAddr(t)
	text := strings.Replace(r.text(), "  admin: ", "  dashboard: "+desk+"\n  admin: ", 1) + "\ndashboard:\n  public_url: http://" + desk + "/admin\n  users:\n"
	for _, role := range []string{"hr", "it", "agency", "auditor"} {
		text += fmt.Sprintf("    - {name: %s, role: %[1]s, hash: %q}\n", role, hash)
	}
	r.write(t, text)
	config, err := configs.Load(r.file)
	must(t, err)
	l, err := openListeners(config.Listen, nil)
	must(t, err)
	s, err = start(config, l, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() {
		if err := s.shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + desk + "/admin"
}

// logIn returns a browser of somebody who is logged in.
func logIn(t *testing.T, base, name string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	client := &http.Client{Jar: jar}
	form := url.Values{"name": {name}, "password": {"secret"}}
	token := regexp.MustCompile(`name="token" value="([^"]*)"`).FindStringSubmatch(read(t, client, base+"/login"))
	if token == nil {
		t.Fatal("no form")
	}
	form.Set("token", token[1])
	resp, err := client.PostForm(base+"/login", form)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || strings.HasSuffix(resp.Request.URL.Path, "/login") {
		t.Fatalf("login as %s: %s at %s", name, resp.Status, resp.Request.URL)
	}
	return client
}

func read(t *testing.T, client *http.Client, address string) string {
	t.Helper()
	resp, err := client.Get(address)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}

// TestDashboard looks at the running relay through the dashboard.
func TestDashboard(t *testing.T) {
	s, base := withDashboard(t)
	fillStore(t, s.store, s.keys, s.sealer, 0, 11)
	s.log.Error("invented trouble", "step", "test")
	wantText(t, read(t, logIn(t, base, "hr"), base+"/funnel"), "ja-declined", "株式会社サンプル")
	it := logIn(t, base, "it")
	wantText(t, read(t, it, base+"/health"), "メールを受け付け", "invented trouble step=test", "ファイルの内容どおり")
	wantText(t, read(t, it, base+"/rules"), "ja-declined", "en-declined")
	auditor := logIn(t, base, "auditor")
	wantText(t, read(t, auditor, base+"/consents"), "optin-ja-1", "株式会社サンプルエージェント")
	text, err := os.ReadFile(s.config.File())
	must(t, err)
	must(t, os.WriteFile(s.config.File(), []byte("mood: good\n"), 0o600))
	if s.reloader.reload() == nil {
		t.Fatal("a broken file was taken")
	}
	wantText(t, read(t, it, base+"/health"), "以前の設定で動いています", "unknown key")
	must(t, os.WriteFile(s.config.File(), text, 0o600))
	must(t, s.reloader.reload())
	out := wantRun(t, 0, "", "journal", "--config", s.config.File()).stdout
	wantText(t, out, "hr", "login", "funnel", "consents")
}

func TestAlarmBoard(t *testing.T) {
	registry := prometheus.NewRegistry()
	open := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "careerrelay_fail_open_total"}, []string{"stage"})
	left := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "careerrelay_messages_unedited_total"}, []string{"reason"})
	registry.MustRegister(open, left)
	now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	b := newAlarmBoard(registry, func() time.Time { return now })
	want := func(step string, want ...dashboard.Alarm) {
		t.Helper()
		if got := fmt.Sprint(b.list()); got != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", step, got, want)
		}
	}
	left.WithLabelValues("no_rule").Add(100)
	want("calm")
	left.WithLabelValues("burst").Add(7)
	open.WithLabelValues("record").Inc()
	want("at once", dashboard.Alarm{Kind: "burst", Hour: 7, Day: 7}, dashboard.Alarm{Kind: "fail_open", Detail: "record", Hour: 1, Day: 1})
	now = now.Add(2 * time.Hour)
	open.WithLabelValues("record").Inc()
	want("later", dashboard.Alarm{Kind: "burst", Day: 7}, dashboard.Alarm{Kind: "fail_open", Detail: "record", Hour: 1, Day: 2})
	now = now.Add(22*time.Hour + time.Minute)
	want("a day after the first", dashboard.Alarm{Kind: "fail_open", Detail: "record", Day: 1})
	now = now.Add(24 * time.Hour)
	want("calm again")
}

// TestRecentLog: warnings are kept with what the logger adds, the last ones, also
// when they are not written.
func TestRecentLog(t *testing.T) {
	r := newRecentLog(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	log := slog.New(r).With("company", "c")
	log.Info("nothing")
	for i := range recentLines + 5 {
		log.Warn("trouble", "n", i)
	}
	log.Error("last", "err", errors.New("broken"))
	lines := r.lines()
	if len(lines) != recentLines || lines[0].Text != "last company=c err=broken" || lines[0].Level != "ERROR" || lines[1].Text != fmt.Sprintf("trouble company=c n=%d", recentLines+4) {
		t.Errorf("%d lines, %+v", len(lines), lines[:2])
	}
	if !r.Enabled(context.Background(), slog.LevelWarn) || r.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("levels")
	}
}
