package configs

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files, the schema and the reference page")

// golden compares got with a file, or rewrites the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// TestMistakes loads one small broken file per mistake and compares every word
// that the admin gets to read.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d broken files, err %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			c, err := Load(file)
			problems, ok := errors.AsType[Problems](err)
			if c != nil || !ok || len(problems.Mistakes()) == 0 {
				t.Fatalf("Load = %v, %v; want problems", c, err)
			}
			for _, p := range problems {
				if p.File != file || p.Msg == "" {
					t.Errorf("problem %+v names no file or says nothing", p)
				}
			}
			golden(t, filepath.Join("testdata/bad", name+".want"), err.Error()+"\n")
		})
	}
}

func TestSample(t *testing.T) {
	c, err := Load("careerrelay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings()) > 0 {
		t.Errorf("the sample has warnings: %v", c.Warnings())
	}
	s := c.Companies[0]
	if s.ID != "sample" || s.Mode != Insert || c.Ratio != 10 || time.Duration(c.LinkLife) != 90*24*time.Hour {
		t.Errorf("company = %+v", s)
	}
	if got := c.Timeouts.Transaction.String(); got != "1m25s" {
		t.Errorf("default transaction time = %s", got)
	}
	embedded, err := Parse("careerrelay.yaml", Sample)
	if err != nil || embedded.Companies[0].Name != s.Name {
		t.Errorf("embedded sample: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	base, err := os.ReadFile("careerrelay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new, want string }{
		{"half-width licence", "13-ユ-000000", "13-ﾕ-000000", "did you mean 13-ユ-000000?"},
		{"full-width digits", "13-ユ-000000", "１３－ユ－０００００１", "did you mean 13-ユ-000001?"},
		{"another kind of licence", "13-ユ-000000", "13-ム-000000", "does not look like"},
		{"pages without TLS", "public_url: http://127.0.0.1:8080", "public_url: http://r.example.jp", "without encryption"},
		{"long links", "public_url: http://127.0.0.1:8080", "public_url: https://career-relay.very-long-name.example.co.jp", "wider than 70"},
		{"sender of another domain", "<saiyo@sample.example.jp>", "<saiyo@ats.example>", "for forged"},
		{"sender of a subdomain", "<saiyo@sample.example.jp>", "<saiyo@mail.sample.example.jp>", ""},
		{"links to this machine", `"127.0.0.1:2525"`, `":2525"`, "candidates cannot open"},
		{"mails of our own without a login", "    mode: insert", "    upstream_auth: {mechanism: pass}\n    mode: insert", "without a login"},
		{"byte order mark", "# yaml-language-server", "\ufeff# yaml-language-server", ""},
		{"Windows line ends", "\n", "\r\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.ReplaceAll(string(base), tt.old, tt.new)
			if src == string(base) {
				t.Fatalf("the sample does not contain %q", tt.old)
			}
			c, err := Parse("careerrelay.yaml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			got := c.Warnings().Error()
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("warnings = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
}

func TestSecretIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	c, err := Parse(filepath.Join(dir, "careerrelay.yaml"), Sample)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(chan string)
	for range 8 { // processes that start at the same time
		go func() {
			key, err := c.Secret()
			if err != nil {
				t.Error(err)
			}
			keys <- string(key)
		}()
	}
	first := <-keys
	for range 7 {
		if next := <-keys; next != first {
			t.Error("two starts made two keys")
		}
	}
	if len(first) != secretSize {
		t.Errorf("key has %d bytes", len(first))
	}
	info, err := os.Stat(filepath.Join(dir, "data", "secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret: %v, %v; want mode 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", ".secret-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestSecretRefused(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "short": "abcd\n", "words": strings.Repeat("zz", 32)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, err := Parse(filepath.Join(dir, "careerrelay.yaml"), Sample)
			if err != nil {
				t.Fatal(err)
			}
			c.SecretFile = "secret"
			if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Secret(); err == nil || !strings.Contains(err.Error(), "backup") {
				t.Errorf("err = %v; want the remedy", err)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "secret")); string(got) != content {
				t.Error("a damaged secret was overwritten")
			}
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	var s Secret
	if err := s.parse("hunter2"); err != nil {
		t.Fatal(err)
	}
	c := Config{Companies: []Company{{UpstreamAuth: UpstreamAuth{User: "relay", Password: s}}}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, c); strings.Contains(got, "hunter2") {
			t.Errorf("%s shows the secret: %s", format, got)
		}
	}
	k := DKIMKey{Domain: "a.example", Selector: "s", Key: s, signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), 32))}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, Company{DKIMKeys: []DKIMKey{k}}); !strings.Contains(got, "s._domainkey.a.example") || strings.Contains(got, "107") || strings.Contains(got, "kk") {
			t.Errorf("%s shows the key: %s", format, got)
		}
	}
	if _, err := s.Read(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v; want an error without the text", err)
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add(Sample)
	f.Add([]byte("a: &a [*a]\nlisten: *a\ncompanies: [*a, *a]\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("testdata/bad/x.yaml", src)
		if problems, ok := errors.AsType[Problems](err); (c == nil) != ok {
			t.Fatalf("Parse = %v, %v", c, problems)
		}
	})
}
