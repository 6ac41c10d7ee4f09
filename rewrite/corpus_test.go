package rewrite

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestCorpusX(t *testing.T) {
	files, _ := filepath.Glob("/work/shared/corpus/*/*/*.eml")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		id := "ja-standard"
		m, err := Parse(bytes.NewReader(b), int64(len(b)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r := m.Reading()
		if os.Getenv("SHOW") != "" {
			t.Logf("=== %s\nSubject: %s\n%s\n--SIG--\n%s--QUOTE--\n%s", f, r.Subject, r.Text, r.Signature, r.Quoted)
		}
		e, err := m.Edit(testBlock(t, id), EditOptions{})
		var u *Unedited
		if errors.As(err, &u) {
			t.Logf("%s: %s", f, u.Reason)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if err := e.Prove(); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		var out bytes.Buffer
		io.Copy(&out, io.NewSectionReader(newSpliced(m.r, m.size, e.Edits()), 0, e.Size()))
		var out2 bytes.Buffer
		e.WriteTo(&out2)
		if !bytes.Equal(out.Bytes(), out2.Bytes()) {
			t.Errorf("%s: spliced differs", f)
		}
		ins, err := Compare(bytes.NewReader(b), int64(len(b)), bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Errorf("%s: compare %v", f, err)
		}
		if len(ins) != len(e.changes) {
			t.Errorf("%s: %d inserted", f, len(ins))
		}
		os.MkdirAll("/tmp/outx", 0o755)
		os.WriteFile("/tmp/outx/"+filepath.Base(filepath.Dir(filepath.Dir(f)))+filepath.Base(filepath.Dir(f))+filepath.Base(f), out.Bytes(), 0o644)
	}
}
