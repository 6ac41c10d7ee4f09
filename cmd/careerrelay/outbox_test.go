package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// withWebhook is the sample configuration with a webhook that nobody answers.
func withWebhook(t *testing.T, text, url string) string {
	t.Helper()
	t.Setenv("CAREERRELAY_TEST_SECRET", strings.Repeat("s", 24))
	return strings.Replace(text, "agency: ", "agency:\n  webhook: {url: \""+url+"\", secret: env:CAREERRELAY_TEST_SECRET}\n  # ", 1)
}

// TestOutboxCommand: dead letters are shown and go out again, but not those whose
// consent has ended.
func TestOutboxCommand(t *testing.T) {
	file := filled(t, 0)
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(withWebhook(t, string(text), "http://127.0.0.1:1/hook")), 0o600))
	wantText(t, wantRun(t, 0, "", "outbox", "--config", file).stdout, "nothing waits")
	config, err := loadConfig(&terminal{stderr: os.Stderr}, file)
	must(t, err)
	o, err := openOffice(t.Context(), config)
	must(t, err)
	keys, err := o.keys()
	must(t, err)
	sealer, err := o.sealer()
	must(t, err)
	fillStore(t, o.store, keys, sealer, 0, 2)
	due, err := o.store.Claim(t.Context(), 10, time.Minute)
	must(t, err)
	for _, d := range due {
		must(t, o.store.Failed(t.Context(), d.ID, "answered 410", time.Time{}))
	}
	_, err = o.store.Withdraw(t.Context(), due[1].Referral)
	must(t, err)
	must(t, o.store.Close())

	wantText(t, wantRun(t, 0, "", "outbox", "--config", file).stdout, "dead", "answered 410", "withdrawn", due[0].Referral)
	wantText(t, wantRun(t, 1, "", "outbox", "--config", file, "--requeue", "99").stderr, "none of this number")
	wantText(t, wantRun(t, 1, "", "outbox", "--config", file, "--requeue", "2").stderr, "consent has ended")
	var list []store.Delivery
	must(t, json.Unmarshal([]byte(wantRun(t, 0, "", "outbox", "--config", file, "--all", "--json").stdout), &list))
	if len(list) != 3 || list[0].Dead || !list[1].Dead || list[2].Event != store.EventWithdrawn {
		t.Errorf("after requeue: %+v", list)
	}
	wantText(t, wantRun(t, 0, "", "journal", "--config", file).stdout, "requeue deliveries")
}

func TestTokenCommand(t *testing.T) {
	got := wantRun(t, 0, "", "token").stdout
	m := regexp.MustCompile(`agency: +(\w{26,})\n.*: (\w{64})\n`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("token prints %q", got)
	}
	if sum := sha256.Sum256([]byte(m[1])); hex.EncodeToString(sum[:]) != m[2] {
		t.Error("the hash is not the token's")
	}
}
