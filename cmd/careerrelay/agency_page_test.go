package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/agency"
	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
	"github.com/careerrelay/careerrelay/store"
)

// TestAgencyPages runs every sample of docs/agency.md, and checks that the
// Japanese page has the same ones.
func TestAgencyPages(t *testing.T) {
	samples := readPage(t, filepath.Join(docsFolder, "agency.md")).samples
	japanese := readPage(t, filepath.Join(docsFolder, "agency.ja.md")).samples
	text := func(all []sample) (texts []string) {
		for _, s := range all {
			texts = append(texts, s.language+"\n"+s.text)
		}
		return texts
	}
	if len(samples) != 6 || !slices.Equal(text(samples), text(japanese)) {
		t.Fatalf("%d samples, %d on the Japanese page, or they differ", len(samples), len(japanese))
	}
	t.Setenv("CAREERRELAY_WEBHOOK_SECRET", "the agency's webhook secret")
	sampleConfig(t, samples[0].text)
	samplePerson(t, samples[1].text)
	openssl := smtptest.Program(t, "openssl")
	curl := smtptest.Program(t, "curl")
	got := runSample(t, samples[2].text, "WEBHOOK_ID=msg_p5jXN8AQM9LWM0D4loKWxJek", "WEBHOOK_TIMESTAMP=1614265330",
		`BODY={"test": 2432232314}`, "SECRET=the agency's webhook secret", "PATH="+filepath.Dir(openssl)+":"+os.Getenv("PATH"))
	if want := "nUMGRp5kVWenswu6lqbwQJhhaY/9Mxb8PiAqwMzez4w="; strings.TrimSpace(got) != want {
		t.Errorf("signature %q, want %q", got, want)
	}
	sampleAPI(t, samples[3].text, samples[4].text, samples[5].text, curl)
}

// sampleConfig takes the keys of the sample into the shipped configuration.
func sampleConfig(t *testing.T, text string) {
	t.Helper()
	keys, found := strings.CutPrefix(text, "agency:\n")
	whole := strings.Replace(string(configs.Sample), "  licence: 13-ユ-000000\n", "  licence: 13-ユ-000000\n"+keys, 1)
	whole = strings.Replace(whole, "listen:\n", "listen:\n  agency: 127.0.0.1:8081\n", 1)
	c, err := configs.Parse("careerrelay.yaml", []byte(whole))
	if !found || err != nil {
		t.Fatalf("sample configuration: %v", err)
	}
	if c.Agency.Webhook.URL.Host == "" || len(c.Agency.APITokens) != 1 || len(c.Warnings()) > 0 {
		t.Errorf("read as %+v with %v", c.Agency, c.Warnings())
	}
}

// samplePerson holds the sample message against the type that is sent.
func samplePerson(t *testing.T, text string) {
	t.Helper()
	var m struct {
		Type      string        `json:"type"`
		Timestamp string        `json:"timestamp"`
		Data      agency.Person `json:"data"`
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil || m.Type != "referral."+string(store.EventOptedIn) || m.Data.Profile == nil || m.Data.Consent == nil {
		t.Fatalf("sample message: %v, %+v", err, m)
	}
	again, err := json.Marshal(m)
	must(t, err)
	var want, got any
	must(t, json.Unmarshal([]byte(text), &want))
	must(t, json.Unmarshal(again, &got))
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("the sample lacks fields, or has them in another form:\n%v\n%v", want, got)
	}
}

// runSample runs a sample in a shell, with these variables.
func runSample(t *testing.T, text string, env ...string) string {
	t.Helper()
	cmd := exec.Command("sh", "-e", "-c", text)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v: %s%s", text, err, out, said.String())
	}
	return string(out)
}

// sampleAPI runs the samples against a running relay with two people in it.
func sampleAPI(t *testing.T, api, register, form, curl string) {
	t.Helper()
	a := newAgencySystem(t)
	r := newRelay(t)
	r.write(t, a.configure(r.text(), r.dir))
	config, err := configs.Load(r.file)
	must(t, err)
	l, err := openListeners(config.Listen, nil)
	must(t, err)
	s, err := start(config, l, newLogger(os.Stderr, configs.Log{Level: "error"}))
	must(t, err)
	defer func() { must(t, s.shutdown()) }()
	fillStore(t, s.store, s.keys, s.sealer, 0, 2)
	person := a.await("referral.opted_in")

	env := []string{"API=http://" + a.api, "TOKEN=" + a.token, "ID=" + person.Data.ID, "PATH=" + filepath.Dir(curl) + ":" + os.Getenv("PATH")}
	wantText(t, runSample(t, api, env...), `"status":"contacted"`, `"family_name":"山田"`, `"companies"`)

	path, err := binary()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(path, filepath.Join(dir, "careerrelay")))
	register = strings.ReplaceAll(register, "--config careerrelay.yaml", "--config "+r.file)
	wantText(t, runSample(t, register, "PATH="+dir+":"+os.Getenv("PATH")), "2 people")

	o := offerFor(s.keys, "form@mail.example.com")
	ref, err := s.store.Offer(t.Context(), o)
	must(t, err)
	code := store.NewToken()
	must(t, s.store.Hold(t.Context(), store.Held{Code: code, Referral: ref.ID, Until: ref.OfferedAt.AddDate(1, 0, 0),
		Consent: store.Consent{TextID: "form-ja-1", Locale: "ja", Method: "agency_form"}}))
	wantText(t, runSample(t, form, append(env, "CODE="+string(code))...), ref.ID, "agency_form")
	if res, err := http.Get("http://" + a.api + "/v1/people"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %v, %v", res, err)
	}
}
