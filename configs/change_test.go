package configs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNeedsRestart(t *testing.T) {
	tests := []struct {
		old, next string
		want      []string
	}{
		{"mode: insert", "mode: off", nil},
		{"name: 株式会社サンプル\n    name_en", "name: 別\n    name_en", nil},
		{"127.0.0.1:9090", "127.0.0.1:9091", []string{"listen"}},
		{"secret_file: data/secret", "secret_file: data/other\nbare_newline: reject", []string{"secret_file", "bare_newline"}},
	}
	before, err := Parse("careerrelay.yaml", Sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		text := strings.Replace(string(Sample), tt.old, tt.next, 1)
		after, err := Parse("careerrelay.yaml", []byte(text))
		if err != nil || text == string(Sample) {
			t.Fatalf("%q: %v", tt.next, err)
		}
		if got := before.NeedsRestart(after); !slices.Equal(got, tt.want) {
			t.Errorf("%q to %q needs a restart for %q, want %q", tt.old, tt.next, got, tt.want)
		}
	}
}

// TestFingerprint: also a change of a rule file, its absence, and a swap of the
// symlink that a mounted ConfigMap consists of are seen.
func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &Config{file: filepath.Join(dir, "c.yaml"), Companies: []Company{{Rules: []string{"builtin:ja", "r.yaml"}}}}
	seen := map[string]string{}
	look := func(step string) {
		t.Helper()
		f := Fingerprint(c)
		if again := Fingerprint(c); again != f {
			t.Errorf("%s: fingerprint is not stable", step)
		}
		if earlier, known := seen[f]; known {
			t.Errorf("%s looks like %s", step, earlier)
		}
		seen[f] = step
	}
	write("c.yaml", "a")
	look("no rule file")
	write("one.yaml", "1")
	write("two.yaml", "2")
	if err := os.Symlink("one.yaml", filepath.Join(dir, "r.yaml")); err != nil {
		t.Fatal(err)
	}
	look("first rule file")
	if err := os.Symlink("two.yaml", filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "r.yaml")); err != nil {
		t.Fatal(err)
	}
	look("swapped link")
	write("c.yaml", "b")
	look("changed configuration")
}
