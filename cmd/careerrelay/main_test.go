package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// result is what a run of the program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// inProcess runs the program inside the test.
func inProcess(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// builds is where the binary goes; set by TestMain.
var builds string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "careerrelay-test-")
	if err != nil {
		panic(err)
	}
	builds = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// binary is the program as it is shipped, built once and only if a test asks.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(builds, "careerrelay")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// asBinary runs the built program.
func asBinary(t *testing.T, args ...string) result {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("run %q: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

const brokenConfigs = "../../configs/testdata/bad"

func TestCheckSample(t *testing.T) {
	got := inProcess(t, "", "check", "../../configs/careerrelay.yaml")
	if got.code != 0 || !strings.Contains(got.stdout, "ok, 1 company, 0 warnings") || got.stderr != "" {
		t.Errorf("check = %+v", got)
	}
}

func TestCheckBroken(t *testing.T) {
	got := inProcess(t, "", "check", filepath.Join(brokenConfigs, "everything_at_once.yaml"))
	if got.code != 1 || got.stdout != "" {
		t.Errorf("check = %+v, want code 1 and nothing on stdout", got)
	}
	for _, want := range []string{":2:1:", `did you mean "agency"?`, ":10:9:", ":15:25:", ":16:16:", "4 mistakes"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
		}
	}
}

func TestCheckMissing(t *testing.T) {
	got := inProcess(t, "", "check", filepath.Join(t.TempDir(), "none.yaml"))
	if got.code != 1 || !strings.Contains(got.stderr, "no such file") {
		t.Errorf("check = %+v", got)
	}
}

func TestSampleChecks(t *testing.T) {
	sample := inProcess(t, "", "sample")
	file := filepath.Join(t.TempDir(), "careerrelay.yaml")
	if err := os.WriteFile(file, []byte(sample.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := inProcess(t, "", "check", file); got.code != 0 {
		t.Errorf("check of the printed sample = %+v", got)
	}
}

func TestHash(t *testing.T) {
	got := inProcess(t, "correct horse\n", "hash")
	if err := bcrypt.CompareHashAndPassword([]byte(strings.TrimSpace(got.stdout)), []byte("correct horse")); err != nil {
		t.Errorf("hash = %+v: %v", got, err)
	}
	if got := inProcess(t, "\n", "hash"); got.code != 1 || !strings.Contains(got.stderr, "no password") {
		t.Errorf("hash of nothing = %+v", got)
	}
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"help", []string{"--help"}, 0, "Usage: careerrelay <command>"},
		{"help of a command", []string{"check", "--help"}, 0, "Configuration file."},
		{"nothing", nil, 2, "--help"},
		{"unknown command", []string{"chekc"}, 2, "check"},
		{"unknown flag", []string{"check", "--loud"}, 2, "unknown flag --loud"},
		{"version", []string{"version"}, 0, "careerrelay "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := inProcess(t, "", tt.args...)
			if got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.want) {
				t.Errorf("%q = %+v, want code %d and %q", tt.args, got, tt.code, tt.want)
			}
		})
	}
}
