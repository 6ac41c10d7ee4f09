// Package packaging holds no code: its tests build what is shipped, and use it
// as an administrator would.
package packaging

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/smtp/smtptest"
)

// maxBinary is the most that the program may weigh, in bytes.
const maxBinary = 30 << 20

// command runs a program and brings its output; it must succeed.
func command(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// makeIn runs our Makefile in a copy of the sources, with the flags of nobody's
// environment.
func makeIn(t *testing.T, sources, out string, args ...string) {
	t.Helper()
	smtptest.Program(t, "make")
	command(t, filepath.Join(sources, "packaging"), "make", append([]string{"--no-print-directory", "OUT=" + out, "GO=env GOFLAGS= go"}, args...)...)
}

// clone copies the last commit to a folder of its own.
func clone(t *testing.T) string {
	t.Helper()
	smtptest.Program(t, "git")
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 1+len(t.TempDir())%7))
	command(t, "..", "git", "clone", "--quiet", ".", dir)
	return dir
}

// TestReproducible: whoever builds one commit, wherever, gets the same bytes;
// and they are a static program of bounded size that names its commit.
func TestReproducible(t *testing.T) {
	if _, err := os.Stat("../.git"); err != nil {
		smtptest.Missing(t, "no git checkout: a version needs its commit")
	}
	var builds [][]byte
	var file string
	for range 2 {
		sources := clone(t)
		makeIn(t, sources, filepath.Join(sources, "out"), "binary")
		file = filepath.Join(sources, "out", "stage-amd64", "careerrelay")
		binary, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(binary, []byte(sources)) {
			t.Errorf("the program names the folder it was built in, %s", sources)
		}
		builds = append(builds, binary)
	}
	if !bytes.Equal(builds[0], builds[1]) {
		t.Error("two builds of one commit differ")
	}
	if size := len(builds[0]); size > maxBinary {
		t.Errorf("the program has %d bytes, more than %d", size, maxBinary)
	}
	checkStatic(t, file)
	checkBuildInfo(t, file, strings.TrimSpace(command(t, "..", "git", "rev-parse", "HEAD")))
}

// checkStatic: no dynamic linker, no library of the system.
func checkStatic(t *testing.T, file string) {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %v: it is not static", p.Type)
		}
	}
	if needed, err := f.ImportedLibraries(); err != nil || len(needed) > 0 {
		t.Errorf("the program needs the libraries %q, err %v", needed, err)
	}
}

func checkBuildInfo(t *testing.T, file, commit string) {
	t.Helper()
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	for key, want := range map[string]string{"CGO_ENABLED": "0", "-trimpath": "true", "vcs.revision": commit, "vcs.modified": "false"} {
		if settings[key] != want {
			t.Errorf("build setting %s = %q, want %q", key, settings[key], want)
		}
	}
	said := command(t, ".", file, "version")
	if !strings.Contains(said, commit[:12]) || !strings.Contains(said, info.Main.Version) || strings.Contains(said, "devel") {
		t.Errorf("version says %q; want the version %q and the commit %q", said, info.Main.Version, commit)
	}
}
