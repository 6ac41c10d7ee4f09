package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// resignLines make the sample company sign edited mail with an RSA and an
// Ed25519 key.
const resignLines = "    dkim: resign\n    dkim_keys:\n" +
	"      - {domain: sample.example.jp, selector: rsa1, key: rsa.pem}\n" +
	"      - {domain: sample.example.jp, selector: ed1, key: ed25519.pem}\n"

// withResign adds the lines to the sample configuration and puts the keys beside it.
func withResign(t *testing.T, dir, text string) string {
	t.Helper()
	for _, name := range []string{"rsa.pem", "ed25519.pem"} {
		raw, err := os.ReadFile(filepath.Join("../../configs/testdata/keys", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := strings.Replace(text, "    domains: [sample.example.jp]", resignLines+"    domains: [sample.example.jp]", 1)
	if changed == text {
		t.Fatal("the sample is not as this test expects it")
	}
	return changed
}

// signingRecords are the TXT records of the keys of a configuration.
func signingRecords(t *testing.T, file string) map[string]string {
	t.Helper()
	config, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, k := range signingKeys(&config.Companies[0]) {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		all[k.Name()] = record
	}
	return all
}

const (
	ownSignature   = "DKIM-Signature: v=1; a=rsa-sha256; d=sample.example.jp; s=ats;\r\n\th=from:to:subject; bh=AAAA; b=\r\n BBBB\r\n"
	otherSignature = "DKIM-Signature: v=1; a=rsa-sha256; d=mailer.example; s=m; h=from; bh=AAAA; b=BBBB\r\n"
)

// hopResign: a signed rejection lies in the mailbox with the block, without its
// old signature, and with two new ones that an independent verifier takes for
// good; signed mail that is no rejection lies there as it was sent.
func hopResign(t *testing.T, h *hop) {
	h.write(t, withResign(t, h.dir, strings.Replace(h.text(), "127.0.0.1:2526", h.mailbox.Addr, 1)))
	if code, body := h.post(t, "/-/reload"); code != 200 {
		t.Fatalf("reload: %d %s", code, body)
	}
	records := signingRecords(t, h.file)
	for _, name := range []string{"iso-2022-jp", "html", "english", "interview"} {
		t.Run(name, func(t *testing.T) {
			sent := h.letter(t, name, 1)
			sent.raw = append([]byte(otherSignature+ownSignature), sent.raw...)
			got := h.deliver(t, sent)
			if name == "interview" {
				if !bytes.Equal(got.raw, sent.raw) {
					t.Errorf("arrived %q, was sent as %q", got.raw, sent.raw)
				}
				return
			}
			if bytes.Contains(got.whole, []byte("s=ats")) || !bytes.HasPrefix(got.raw, []byte(otherSignature)) {
				t.Errorf("signatures that arrived: %q", got.whole[:3000])
			}
			for i, want := range []string{"rsa1", "ed1"} {
				results := smtptest.VerifyDKIM(t, records, got.whole)[0]
				if len(results) != 3 || results[i] != (smtptest.DKIMResult{Domain: "sample.example.jp", Selector: want, Valid: true}) {
					t.Errorf("dkimpy says %+v", results)
				}
			}
			if said := got.prove(t, sent); said.code != 0 || !strings.Contains(said.stdout, "DKIM-Signature of sample.example.jp: new, in place of 1") {
				t.Errorf("prove = %+v", said)
			}
		})
	}
}

// TestReplayResigns: replay writes a mail that verifies before the first one is
// ever sent, and explain says what becomes of the old signature.
func TestReplayResigns(t *testing.T) {
	r := newRelay(t)
	r.write(t, withResign(t, r.dir, r.text()))
	demo, err := os.ReadFile("demo/1-rejection-iso-2022-jp.eml")
	if err != nil {
		t.Fatal(err)
	}
	mail, out := filepath.Join(r.dir, "signed.eml"), filepath.Join(r.dir, "out")
	if err := os.WriteFile(mail, append([]byte(ownSignature), demo...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := inProcess(t, "", "replay", "--config", r.file, "--out", out, mail); got.code != 0 || !strings.Contains(got.stdout, "link in 1") {
		t.Fatalf("replay = %+v", got)
	}
	written, err := os.ReadFile(filepath.Join(out, "signed.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range smtptest.VerifyDKIM(t, signingRecords(t, r.file), written)[0] {
		if !result.Valid {
			t.Errorf("dkimpy says %+v", result)
		}
	}
	got := inProcess(t, "", "explain", "--config", r.file, mail)
	if got.code != 0 || !strings.Contains(got.stdout, "DKIM-Signature of sample.example.jp: 1 signature replaced by the relay's own") {
		t.Errorf("explain = %+v", got)
	}
	foreign := bytes.Replace(demo, []byte("@sample.example.jp>"), []byte("@elsewhere.example>"), 1)
	if err := os.WriteFile(mail, append([]byte(ownSignature), foreign...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := inProcess(t, "", "explain", "--config", r.file, mail); !strings.Contains(got.stdout, "dkim_key") {
		t.Errorf("explain of a mail whose sender has no key = %+v", got)
	}
}

func TestCheckDKIM(t *testing.T) {
	r := newRelay(t)
	r.write(t, withResign(t, r.dir, r.text()))
	config, err := configs.Load(r.file)
	if err != nil {
		t.Fatal(err)
	}
	records := signingRecords(t, r.file)
	const rsa, ed = "rsa1._domainkey.sample.example.jp", "ed1._domainkey.sample.example.jp"
	for _, tc := range []struct {
		name   string
		dns    map[string]string
		stderr []string
	}{
		{"published", records, nil},
		{"one is not published", map[string]string{rsa: records[rsa]}, []string{ed + ": no such host", "publish this TXT record: " + records[ed]}},
		{"exchanged", map[string]string{rsa: records[ed], ed: records[rsa]}, []string{rsa + ": the record has another key", ed + ": the record has another key"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var said bytes.Buffer
			err := checkDKIM(&terminal{ctx: t.Context(), stderr: &said}, config, func(_ context.Context, name string) ([]string, error) {
				if tc.dns[name] == "" {
					return nil, errors.New("no such host")
				}
				return []string{tc.dns[name]}, nil
			})
			if (err == nil) != (tc.stderr == nil) || tc.stderr == nil && said.Len() > 0 {
				t.Errorf("got %v, said %s", err, &said)
			}
			for _, want := range tc.stderr {
				if !strings.Contains(said.String(), want) {
					t.Errorf("said %s\nwant %q in it", &said, want)
				}
			}
		})
	}
}
