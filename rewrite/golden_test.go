package rewrite

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenDir = "testdata/mime"

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

func goldenName(name string) string {
	return filepath.Join(goldenDir, strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "-"), "-"))
}

// TestGoldenMails edits the mails of testdata/mime and compares every byte with
// what stands beside them: NAME.want.eml for an edited mail, NAME.reason for one
// that passes. With -update the mails of the table tests are written there first.
func TestGoldenMails(t *testing.T) {
	if *update {
		for _, c := range append(mimeCases, moreMIMECases...) {
			writeFile(t, goldenName(c.name)+".eml", []byte(c.raw))
		}
	}
	files, err := filepath.Glob(goldenDir + "/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	block, mails := testBlock(t, "ja-standard"), 0
	for _, file := range files {
		name, isWant := strings.CutSuffix(strings.TrimSuffix(file, ".eml"), ".want")
		if isWant {
			continue
		}
		mails++
		t.Run(filepath.Base(name), func(t *testing.T) { golden(t, name, block) })
	}
	if cases := len(mimeCases) + len(moreMIMECases); mails < cases {
		t.Errorf("%d golden mails for %d cases: run go test -update", mails, cases)
	}
}

func golden(t *testing.T, name string, block Block) {
	edited, reason := editMail(t, readFile(t, name+".eml"), block)
	file, got := name+".want.eml", edited
	if reason != "" {
		file, got = name+".reason", []byte(reason+"\n")
	}
	if *update {
		writeFile(t, file, got)
		return
	}
	if want := readFile(t, file); !bytes.Equal(got, want) {
		t.Errorf("%s differs at octet %d: got %q", file, commonPrefix(got, want), got)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPrivateMails edits the mails that cannot be published, where there are some.
func TestPrivateMails(t *testing.T) {
	const dir = "../testdata/private"
	if _, err := os.Stat(dir); err != nil {
		return // nobody keeps private mails here: nothing to check, nothing skipped
	}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".eml") {
			editAndProve(t, name, readFile(t, name), testBlock(t, "ja-standard"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
