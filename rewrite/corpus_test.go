package rewrite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// sampleMails are the corpus mails kept in the repository.
func sampleMails(t testing.TB) map[string][]byte {
	t.Helper()
	files, _ := filepath.Glob("../testdata/corpus/*/*/*.eml")
	if len(files) < 200 {
		t.Fatalf("only %d sample mails", len(files))
	}
	mails := map[string][]byte{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		mails[name] = b
	}
	return mails
}

// TestCorpusEdits edits every mail of the corpus, whatever it says, proves the
// edit in both ways and checks that the few refusals are the ones we defend.
func TestCorpusEdits(t *testing.T) {
	refusals := map[string]int{}
	for name, raw := range sampleMails(t) {
		for _, id := range []string{"ja-standard", "en-standard"} {
			reason := editAndProve(t, name, raw, testBlock(t, id))
			if reason != "" {
				refusals[reason]++
			}
		}
	}
	if want := map[string]int{"calendar": 2}; len(refusals) != 1 || refusals["calendar"] != want["calendar"] {
		t.Errorf("refusals: got %v, want %v", refusals, want)
	}
}

// editAndProve returns the reason if the message is not edited.
func editAndProve(t *testing.T, name string, raw []byte, b Block) string {
	t.Helper()
	m, err := Parse(bytes.NewReader(raw), int64(len(raw)), Limits{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	e, err := m.Edit(b, EditOptions{})
	if u := (*Unedited)(nil); errors.As(err, &u) {
		return u.Reason
	} else if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := e.Prove(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	var out bytes.Buffer
	if _, err := e.WriteTo(&out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if int64(out.Len()) != e.Size() {
		t.Errorf("%s: wrote %d bytes, Size says %d", name, out.Len(), e.Size())
	}
	found, err := Compare(bytes.NewReader(raw), int64(len(raw)), bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if len(found) != len(e.Edits()) {
		t.Errorf("%s: Compare found %d insertions, want %d", name, len(found), len(e.Edits()))
	}
	return ""
}
