package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
	"github.com/careerrelay/careerrelay/store"
)

// agencySystem is the agency's end: a real HTTP server that takes the webhook,
// refuses the first attempt of everything, and a client of the API.
type agencySystem struct {
	t      *testing.T
	secret string
	token  string
	api    string
	hook   *httptest.Server

	mu  sync.Mutex // guards the fields below
	ids map[string]int
	all []agencyMessage
}

type agencyMessage struct {
	Type string `json:"type"`
	Data struct {
		ID      string            `json:"id"`
		State   string            `json:"state"`
		Company map[string]string `json:"company"`
		Profile map[string]string `json:"profile"`
	} `json:"data"`
}

func newAgencySystem(t *testing.T) *agencySystem {
	a := &agencySystem{t: t, secret: "the agency's webhook secret", token: "thetokenoftheagencysprogram", api: smtptest.FreeAddr(t), ids: map[string]int{}}
	a.hook = httptest.NewServer(http.HandlerFunc(a.take))
	t.Cleanup(a.hook.Close)
	return a
}

// configure is the configuration with the webhook and the API.
func (a *agencySystem) configure(text, dir string) string {
	a.t.Helper()
	must(a.t, os.WriteFile(filepath.Join(dir, "webhook-secret"), []byte(a.secret+"\n"), 0o600))
	sum := sha256.Sum256([]byte(a.token))
	text = strings.Replace(text, "listen:\n", fmt.Sprintf("listen:\n  agency: %s\n", a.api), 1)
	return strings.Replace(text, "  licence: 13-ユ-000000\n", fmt.Sprintf("  licence: 13-ユ-000000\n  webhook: {url: %q, secret: webhook-secret}\n  api_tokens: [{name: crm, sha256: %s}]\n",
		a.hook.URL+"/hook", hex.EncodeToString(sum[:])), 1)
}

// take is the webhook: it believes signed messages only.
func (a *agencySystem) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Errorf("read webhook: %v", err)
	}
	id := r.Header.Get("webhook-id")
	mac := hmac.New(sha256.New, []byte(a.secret))
	fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
	if r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		a.t.Errorf("signature %q", r.Header.Get("webhook-signature"))
	}
	var m agencyMessage
	if err := json.Unmarshal(body, &m); err != nil {
		a.t.Errorf("webhook: %v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids[id]++; a.ids[id] == 1 {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	a.all = append(a.all, m)
	fmt.Fprintf(w, `{"id":"CRM-%d"}`, len(a.all))
}

// await waits for a message of a type.
func (a *agencySystem) await(kind string) agencyMessage {
	a.t.Helper()
	var found agencyMessage
	await(a.t, "the agency to hear of "+kind, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, m := range a.all {
			if m.Type == kind {
				found = m
			}
		}
		return found.Type != ""
	})
	return found
}

// ask uses the API.
func (a *agencySystem) ask(method, path, body string, into any) {
	a.t.Helper()
	r, err := http.NewRequest(method, "http://"+a.api+path, strings.NewReader(body))
	must(a.t, err)
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	must(a.t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	must(a.t, err)
	if res.StatusCode != http.StatusOK {
		a.t.Fatalf("%s %s = %d %s", method, path, res.StatusCode, raw)
	}
	must(a.t, json.Unmarshal(raw, into))
}

// hopAgency is the whole way: a rejection by SMTP, the link, the opt-in, the
// webhook, the acknowledgement, the agency's reports, the totals, the register,
// the withdrawal.
func hopAgency(t *testing.T, h *hop, a *agencySystem) {
	sent := h.letter(t, "iso-2022-jp", 1)
	c := newCandidate(h.deliver(t, sent).link(t), sent.to)
	optInAll(t, c)
	m := a.await("referral.opted_in")
	if m.Data.Profile["mail"] != sent.to || m.Data.Profile["family_name"] != "山田" || m.Data.Company["name"] != "株式会社サンプル" {
		t.Errorf("the agency got %+v", m)
	}
	await(t, "the acknowledgement", func() bool {
		return strings.Contains(wantRun(t, 0, "", "outbox", "--config", h.file).stdout, "nothing waits")
	})
	var person struct {
		HandedOverAt string `json:"handed_over_at"`
		Status       string `json:"status"`
	}
	a.ask("GET", "/v1/people/"+m.Data.ID, "", &person)
	if person.HandedOverAt == "" {
		t.Error("the hand-over is not marked")
	}
	for _, status := range []string{"contacted", "introduced", "interviewed", "hired"} {
		a.ask("PUT", "/v1/people/"+m.Data.ID+"/status", fmt.Sprintf(`{"status":%q}`, status), &person)
	}
	var totals struct {
		Companies []struct {
			HandedOver int `json:"handed_over"`
			Hired      int `json:"hired"`
			Introduced int `json:"introduced"`
		} `json:"companies"`
	}
	a.ask("GET", "/v1/totals", "", &totals)
	if len(totals.Companies) != 1 || totals.Companies[0].Hired != 1 || totals.Companies[0].Introduced != 1 || totals.Companies[0].HandedOver != 1 {
		t.Errorf("totals: %+v", totals)
	}
	checkRegister(t, h, sent.to)
	checkProvision(t, h, sent.to)

	page, err := c.ask(http.MethodGet, c.link+"/done", nil)
	must(t, err)
	to, form, err := page.form("/withdraw")
	must(t, err)
	if page, err = c.ask(http.MethodPost, to, form); err != nil || !strings.Contains(page.body, "撤回しました") {
		t.Fatalf("withdraw: %v\n%s", err, page.body)
	}
	if end := a.await("referral.withdrawn"); end.Data.ID != m.Data.ID || end.Data.Profile != nil {
		t.Errorf("the agency was told %+v", end)
	}
}

// checkRegister exports the register while the relay runs.
func checkRegister(t *testing.T, h *hop, mail string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "people.csv")
	wantText(t, wantRun(t, 0, "", "export", "--config", h.file, "--out", file).stdout, "1 people")
	raw, err := os.ReadFile(file)
	must(t, err)
	lines, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff")))).ReadAll()
	must(t, err)
	if len(lines) != 2 || lines[0][0] != "受付年月日" || lines[1][16] != mail || lines[1][27] != "採用" {
		t.Errorf("register: %q", lines)
	}
}

// checkProvision looks for the agency's acknowledgement in the records.
func checkProvision(t *testing.T, h *hop, mail string) {
	t.Helper()
	var export []struct {
		Records []store.Record `json:"records"`
	}
	must(t, json.Unmarshal([]byte(wantRun(t, 0, mail+"\n", "subject", "export", "--config", h.file).stdout), &export))
	for _, r := range export[0].Records {
		if r.Kind == store.RecordProvision && r.Receiver.Ack == "CRM-1" && r.Receiver.Name == "株式会社サンプルエージェント" {
			return
		}
	}
	t.Errorf("no record of provision with the acknowledgement: %+v", export)
}

// TestWholeWay runs hopAgency with a relay of its own.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	mailbox := startMailbox(t)
	h := newHop(t, "whole", mailbox)
	a := newAgencySystem(t)
	text, err := os.ReadFile(h.file)
	must(t, err)
	h.write(t, a.configure(string(text), h.dir))
	h.start(t)
	hopAgency(t, h, a)
}
