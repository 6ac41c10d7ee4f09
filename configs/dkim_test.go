package configs

import (
	"crypto/ed25519"
	"crypto/rsa"
	"os"
	"strings"
	"testing"
)

// withKeys is the sample with these lines in its company.
func withKeys(t *testing.T, lines string) *Config {
	t.Helper()
	src := strings.Replace(string(Sample), "    name: 株式会社サンプル\n", "    name: 株式会社サンプル\n"+lines, 1)
	c, err := Parse("testdata/careerrelay.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDKIMKeys(t *testing.T) {
	raw, err := os.ReadFile("testdata/keys/ed25519.pem")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_DKIM_KEY", string(raw))
	c := withKeys(t, `    dkim: resign
    dkim_keys:
      - {domain: sample.example.jp, selector: e, key: keys/ed25519.pem}
      - {domain: hr.sample.example.jp, selector: r, key: keys/rsa.pem}
      - {domain: sample.example.jp, selector: R1.old, key: keys/rsa-pkcs1.pem}
      - {domain: sample.example.jp, selector: v, key: "env:TEST_DKIM_KEY"}
`)
	if w := c.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	keys := c.Companies[0].DKIMKeys
	if _, ok := keys[0].Signer().(ed25519.PrivateKey); !ok || keys[3].Signer() == nil {
		t.Errorf("Ed25519 keys read as %T, %T", keys[0].Signer(), keys[3].Signer())
	}
	a, okA := keys[1].Signer().(*rsa.PrivateKey)
	b, okB := keys[2].Signer().(*rsa.PrivateKey)
	if !okA || !okB || !a.Equal(b) || keys[2].Selector != "r1.old" {
		t.Errorf("RSA keys read as %T, %T; selector %q", keys[1].Signer(), keys[2].Signer(), keys[2].Selector)
	}
	files := strings.Join(c.Files(), " ")
	for _, file := range []string{"testdata/keys/ed25519.pem", "testdata/keys/rsa.pem", "testdata/keys/rsa-pkcs1.pem"} {
		if !strings.Contains(files, file) {
			t.Errorf("a change of %s is not seen: files are %s", file, files)
		}
	}
	if strings.Contains(files, "env:") {
		t.Errorf("files are %s", files)
	}
}

func TestDKIMWarnings(t *testing.T) {
	for _, tc := range []struct{ name, lines, want string }{
		{"keys that nothing uses", "    dkim: insert\n    dkim_keys: [{domain: sample.example.jp, selector: e, key: keys/ed25519.pem}]\n", "are not used: dkim is insert"},
		{"a domain without a key", "    dkim: resign\n    dkim_keys: [{domain: hr.sample.example.jp, selector: e, key: keys/ed25519.pem}]\n", "signed mail from sample.example.jp passes unedited"},
	} {
		if got := withKeys(t, tc.lines).Warnings().Error(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: warnings %q, want %q", tc.name, got, tc.want)
		}
	}
}
