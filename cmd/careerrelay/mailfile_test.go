package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// writeFiles makes files, with their folders, below dir.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMailFiles(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"a/b/1.eml":          "Subject: 1\r\n\r\n",
		"a/2.EML":            "From someone\nSubject: 2\r\n\r\n",
		"a/notes.txt":        "no mail",
		"a/box.mbox":         "From a@b Thu Jan  1\nSubject: 3\n\n>From here\n\nFrom c@d Thu Jan  1\nSubject: 4\n\ntext\nFrom after text\n",
		"a/maildir/cur/5:2,": "Subject: 5\r\n\r\n",
		"a/maildir/new/6":    "Subject: 6\r\n\r\n",
		"a/maildir/tmp/7":    "half written",
		"a/cur/8":            "a folder of that name is no Maildir",
		"single":             "Subject: 9\r\n\r\n",
	})
	files, err := mailFiles([]string{filepath.Join(dir, "a"), filepath.Join(dir, "single")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var names []string
	for _, f := range files {
		raw, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		got[f.name] = string(raw)
		names = append(names, f.name)
	}
	want := []string{"2.EML", "b/1.eml", "box.mbox/00001.eml", "box.mbox/00002.eml", "maildir/cur/5:2,", "maildir/new/6", "single"}
	if !slices.Equal(names, want) {
		t.Errorf("names = %q, want %q", names, want)
	}
	if got := got["box.mbox/00001.eml"]; got != "Subject: 3\n\nFrom here\n" {
		t.Errorf("first of the mbox = %q", got)
	}
	if got := got["box.mbox/00002.eml"]; got != "Subject: 4\n\ntext\nFrom after text\n" {
		t.Errorf("second of the mbox = %q", got)
	}
}

func TestMailFilesNone(t *testing.T) {
	if files, err := mailFiles([]string{t.TempDir()}); err == nil {
		t.Errorf("found %d in an empty folder", len(files))
	}
	if _, err := mailFiles([]string{filepath.Join(t.TempDir(), "none.eml")}); err == nil {
		t.Error("no error for a missing file")
	}
}
