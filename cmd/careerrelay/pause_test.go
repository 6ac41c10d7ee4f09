package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

func TestParsePauses(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		all        bool
		companies  []string
	}{
		{"touched", "", true, nil},
		{"comments alone", "# why\n\n", true, nil},
		{"all", "*\n", true, nil},
		{"one", "sample\n", false, []string{"sample"}},
		{"several", "  b # two\r\na\nb\n", false, []string{"a", "b"}},
		{"makes no sense", "sample\nEverybody!\n", true, []string{"sample"}},
	} {
		p := parsePauses(tt.text)
		if p.all != tt.all || !slices.Equal(p.companies, tt.companies) || p.none() {
			t.Errorf("%s: %+v, want all %v, %q", tt.name, p, tt.all, tt.companies)
		}
		if p.has("other") != tt.all {
			t.Errorf("%s: has(other) = %v", tt.name, p.has("other"))
		}
	}
}

// TestPausesKept: what is written is what is read, and a change keeps the others.
func TestPausesKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data", "paused")
	for _, step := range []struct {
		company string
		paused  bool
		want    string
	}{
		{"b", true, "b"}, {"a", true, "a, b"}, {"a", true, "a, b"}, {"b", false, "a"}, {"c", false, "a"}, {"a", false, "none"},
		{"", true, "all companies"}, {"a", true, "all companies"}, {"", false, "none"}, {"", false, "none"},
	} {
		if err := changePauses(file, step.company, step.paused); err != nil {
			t.Fatal(err)
		}
		if got, err := readPauses(file); err != nil || got.String() != step.want {
			t.Errorf("after %+v: %q, %v", step, got, err)
		}
	}
	if err := changePauses(file, "", true); err != nil {
		t.Fatal(err)
	}
	if err := changePauses(file, "a", false); err == nil {
		t.Error("one of all was resumed")
	}
}

// TestUnreadablePauses: a switch that cannot be read is on.
func TestUnreadablePauses(t *testing.T) {
	file := t.TempDir() // a folder cannot be read as a file
	if p, err := readPauses(file); !p.all || err == nil {
		t.Errorf("%+v, %v", p, err)
	}
}

// pausable is a running relay with a second company, and an upstream.
type pausable struct {
	*running
	upstream *smtptest.Upstream
	valid    string // its configuration
	sent     int
}

func newPausable(t *testing.T) *pausable {
	t.Helper()
	p := &pausable{upstream: smtptest.NewUpstream(t, smtptest.Options{})}
	r := newRelay(t)
	p.valid = strings.Replace(r.text(), "127.0.0.1:2526", p.upstream.Addr(), 1)
	_, first, _ := strings.Cut(p.valid, "companies:\n")
	p.valid += strings.NewReplacer("id: sample", "id: other", "sample.example.jp", "other.example.jp", "127.0.0.0/8", "192.0.2.0/24").Replace(first)
	r.write(t, p.valid)
	p.running = r.serve(t)
	return p
}

// linked sends a rejection to a new candidate and tells whether it got a link.
func (p *pausable) linked(t *testing.T) bool {
	t.Helper()
	p.sent++
	h := &hop{relay: p.relay, name: "pause"}
	l := h.letter(t, "english", p.sent)
	before := len(p.upstream.Messages())
	c := smtptest.Dial(t, p.smtp)
	defer c.Close()
	c.Talk("S: 220 *", "C: EHLO ats.example", "S: 250-*", "C: MAIL FROM:<hr@sample.example.jp>", "S: 250 *", "C: RCPT TO:<"+l.to+">", "S: 250 *", "C: DATA", "S: 354 *")
	c.Send(string(l.raw) + ".\r\n")
	c.Expect("250 *")
	return strings.Contains(p.upstream.Messages()[before].Body, "http://127.0.0.1:8080/r/") || strings.Contains(p.upstream.Messages()[before].Body, p.web+"/r/")
}

func (p *pausable) command(t *testing.T, want string, args ...string) {
	t.Helper()
	got := inProcess(t, "", append(args, "--config", p.file)...)
	if got.code != 0 || !strings.Contains(got.stdout, want) || !strings.Contains(got.stdout, "the running relay follows") {
		t.Fatalf("%q = %+v, want %q", args, got, want)
	}
}

// TestKillSwitch: from the moment the command returns no mail is edited, whatever
// state the configuration is in, and over a restart.
func TestKillSwitch(t *testing.T) {
	p := newPausable(t)
	if !p.linked(t) {
		t.Fatal("the mail gets no link in the first place")
	}
	p.command(t, "paused: all companies", "pause")
	if p.linked(t) {
		t.Error("paused, and a link was inserted")
	}
	if code, body := p.get(t, "/readyz"); code != 200 || !strings.Contains(body, "\npaused: all companies\n") {
		t.Errorf("readyz = %d %q", code, body)
	}
	if _, body := p.get(t, "/metrics"); !strings.Contains(body, `careerrelay_paused{company="sample"} 1`) || !strings.Contains(body, `careerrelay_messages_unedited_total{reason="paused"} 1`) {
		t.Error("the metrics do not show it")
	}
	if _, body := p.get(t, "/report"); !strings.Contains(body, `"paused": true`) {
		t.Errorf("report = %s", body)
	}
	p.waitLog(t, "kill switch is on")
	p.command(t, "paused: none", "resume")
	if !p.linked(t) {
		t.Error("resumed, and no link was inserted")
	}

	p.command(t, "paused: other", "pause", "other")
	if !p.linked(t) {
		t.Error("another company is paused, and no link was inserted")
	}
	p.command(t, "paused: other, sample", "pause", "sample")
	if p.linked(t) {
		t.Error("the company is paused, and a link was inserted")
	}

	p.write(t, "companies: [this is no configuration\nsecret_file: data/secret\nlisten: {admin: "+p.admin+"}\n")
	p.command(t, "paused: other", "resume", "sample")
	if !p.linked(t) {
		t.Error("resumed with a broken configuration, and no link was inserted")
	}
	p.command(t, "paused: all companies", "pause")
	p.end(t)

	p.write(t, p.valid)
	p.running = p.serve(t)
	if p.linked(t) {
		t.Error("paused before the restart, and a link was inserted")
	}
	if got := inProcess(t, "", "pause", "nobody", "--config", p.file); got.code != 1 || !strings.Contains(got.stderr, "known: sample, other") {
		t.Errorf("pause of an unknown company = %+v", got)
	}
}

// TestKillSwitchByHand: making the file is enough, and takes effect in under a
// second; the best of three tries, for this machine may be busy.
func TestKillSwitchByHand(t *testing.T) {
	p := newPausable(t)
	file := filepath.Join(p.dir, "data", "paused")
	best := time.Hour
	for range 3 {
		began := time.Now()
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		await(t, "the relay to pause", func() bool {
			_, body := p.get(t, "/readyz")
			return strings.Contains(body, "paused: all companies")
		})
		best = min(best, time.Since(began))
		if p.linked(t) {
			t.Error("paused, and a link was inserted")
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		await(t, "the relay to go on", func() bool {
			_, body := p.get(t, "/readyz")
			return !strings.Contains(body, "paused")
		})
	}
	t.Logf("effective after %v", best)
	if best > time.Second {
		t.Errorf("effective after %v, want less than a second", best)
	}
}

// TestKillSwitchByRequest: the admin listener does it too, and no foreign page.
func TestKillSwitchByRequest(t *testing.T) {
	p := newPausable(t)
	if code, body := p.post(t, "/-/pause?company=sample"); code != 200 || body != "paused: sample\n" || p.linked(t) {
		t.Errorf("pause = %d %q", code, body)
	}
	if code, body := p.post(t, "/-/pause?company=nobody"); code != http.StatusConflict || !strings.Contains(body, "known: sample, other") {
		t.Errorf("pause of nobody = %d %q", code, body)
	}
	if code, body := p.post(t, "/-/resume"); code != 200 || body != "paused: none\n" || !p.linked(t) {
		t.Errorf("resume = %d %q", code, body)
	}
	// What the command does for a user who may not write the file.
	if err := postSwitch(t.Context(), p.admin, "sample", true); err != nil || p.linked(t) {
		t.Errorf("post: %v", err)
	}
	if err := postSwitch(t.Context(), p.admin, "nobody", true); err == nil || !strings.Contains(err.Error(), "known: sample, other") {
		t.Errorf("post of nobody: %v", err)
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+p.admin+"/-/resume", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	if code, _ := answer(t)(http.DefaultClient.Do(request)); code != http.StatusForbidden {
		t.Errorf("resume by a foreign page = %d", code)
	}
}

// TestPauseWithoutRelay: the switch can be thrown before the relay starts.
func TestPauseWithoutRelay(t *testing.T) {
	r := newRelay(t)
	got := inProcess(t, "", "pause", "--config", r.file)
	if got.code != 0 || !strings.Contains(got.stdout, "no relay answers") {
		t.Fatalf("pause = %+v", got)
	}
	if _, body := r.serve(t).get(t, "/readyz"); !strings.Contains(body, "paused: all companies") {
		t.Errorf("readyz = %q", body)
	}
}
