package rewrite

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // the other reader's own charsets
	"github.com/jhillyerd/enmime/v2"
)

// pythonReader prints the text of every part of the mail files named on its
// standard input, one JSON list a line. Unknown charsets are read as Latin-1.
const pythonReader = `
import email, json, sys
from email import policy
for name in sys.stdin.read().split("\n"):
    if not name: continue
    with open(name, "rb") as f: m = email.message_from_binary_file(f, policy=policy.compat32)
    parts = []
    for p in m.walk():
        if p.is_multipart(): continue
        b = p.get_payload(decode=True) or b""
        try: t = b.decode(p.get_content_charset() or "ascii")
        except (LookupError, UnicodeDecodeError): t = b.decode("latin-1")
        parts.append([p.get_content_type(), t.replace("\r\n", "\n")])
    print(json.dumps(parts))
`

// part is what another reader sees of one leaf.
type seen struct{ mediaType, text string }

// TestPythonAgrees lets Python's email package read the golden mails before and
// after: the same parts, and where it sees a change, it is one insertion that
// holds our link. enmime and go-message, as far as they can read the mail, see the
// same changes. It needs python3.
func TestPythonAgrees(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is not installed, and CI=true wants it")
		}
		t.Skip("python3 is not installed")
	}
	names := editedGoldens(t)
	read, compared := readByPython(t, python, names), map[string]int{}
	for i, name := range names {
		agree(t, name, read[2*i], read[2*i+1])
		others := map[string][2][]seen{"enmime": {enmimeParts(t, name+".eml"), enmimeParts(t, name+".want.eml")}}
		if before, ok := goMessageParts(readFile(t, name+".eml")); ok {
			after, _ := goMessageParts(readFile(t, name+".want.eml"))
			others["go-message"] = [2][]seen{before, after}
		}
		for reader, other := range others {
			compared[reader] += sameChanges(t, name, "python", changes(read[2*i], read[2*i+1]), reader, changes(other[0], other[1]))
		}
	}
	if compared["enmime"] < len(names)*3/4 || compared["go-message"] < len(names)/2 {
		t.Errorf("of %d mails the readers know so few charsets that this many blocks were compared: %v", len(names), compared)
	}
}

// readByPython reads each golden mail before and after its edit.
func readByPython(t *testing.T, python string, names []string) [][]seen {
	t.Helper()
	cmd := exec.Command(python, "-c", pythonReader)
	var list []string
	for _, name := range names {
		list = append(list, name+".eml", name+".want.eml")
	}
	cmd.Stdin = strings.NewReader(strings.Join(list, "\n"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(list) {
		t.Fatalf("python read %d mails of %d", len(lines), len(list))
	}
	var read [][]seen
	for _, line := range lines {
		read = append(read, pythonParts(t, line))
	}
	return read
}

// enmimeParts are the leaves as enmime reads them.
func enmimeParts(t *testing.T, file string) []seen {
	t.Helper()
	root, err := enmimeParser().ReadParts(bytes.NewReader(readFile(t, file)))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var all []seen
	for _, p := range root.DepthMatchAll(func(p *enmime.Part) bool {
		return p.FirstChild == nil && !strings.HasPrefix(p.ContentType, "multipart/")
	}) {
		all = append(all, seen{p.ContentType, string(p.Content)})
	}
	return all
}

// changes are what a reader sees to be inserted, part by part in order, as far as
// it can read the charset: blanks and line ends apart, which readers treat in
// their own ways.
func changes(before, after []seen) []string {
	var all []string
	for i := range min(len(before), len(after)) {
		b, a := strings.Join(strings.Fields(before[i].text), ""), strings.Join(strings.Fields(after[i].text), "")
		if a == b {
			continue
		}
		prefix := commonPrefix([]byte(b), []byte(a))
		suffix := min(commonPrefix(reversed([]byte(b)), reversed([]byte(a))), len(a)-prefix)
		all = append(all, strings.ToValidUTF8(a[prefix:len(a)-suffix], ""))
	}
	return all
}

// sameChanges compares what two readers see: the same number of changed parts,
// and the same block in each where both know the charset. It returns how many
// blocks were compared.
func sameChanges(t *testing.T, name, one string, a []string, other string, b []string) (compared int) {
	t.Helper()
	if len(a) != len(b) {
		t.Errorf("%s: %s sees %d changes, %s %d", name, one, len(a), other, len(b))
		return 0
	}
	for i := range a {
		known := func(s string) bool { return strings.Contains(s, "提携") || strings.Contains(s, "Partner") }
		if !known(a[i]) || !known(b[i]) {
			continue
		}
		if compared++; a[i] != b[i] {
			t.Errorf("%s: change %d: %s sees %q, %s %q", name, i+1, one, a[i], other, b[i])
		}
	}
	return compared
}

func pythonParts(t *testing.T, line string) []seen {
	var parts [][2]string
	if err := json.Unmarshal([]byte(line), &parts); err != nil {
		t.Fatal(err)
	}
	var all []seen
	for _, p := range parts {
		all = append(all, seen{p[0], p[1]})
	}
	return all
}

// TestGoMessageAgrees is the same with go-message.
func TestGoMessageAgrees(t *testing.T) {
	for _, name := range editedGoldens(t) {
		before, ok := goMessageParts(readFile(t, name+".eml"))
		if !ok {
			continue // it cannot read the mail as it came
		}
		after, ok := goMessageParts(readFile(t, name+".want.eml"))
		if !ok {
			t.Errorf("%s: go-message reads the mail before, and not after the edit", name)
			continue
		}
		agree(t, name, before, after)
	}
}

func goMessageParts(raw []byte) ([]seen, bool) {
	var all []seen
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		return nil, false
	}
	err = e.Walk(func(_ []int, e *message.Entity, err error) error {
		if err != nil {
			return err
		}
		kind, _, _ := e.Header.ContentType()
		if strings.HasPrefix(kind, "multipart/") {
			return nil
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(e.Body); err != nil {
			return err
		}
		all = append(all, seen{kind, b.String()})
		return nil
	})
	return all, err == nil
}

// agree checks what another reader sees before and after: at least one part
// changed, and each changed part is a text with one insertion.
func agree(t *testing.T, name string, before, after []seen) {
	t.Helper()
	if len(before) != len(after) {
		t.Errorf("%s: %d parts before, %d after", name, len(before), len(after))
		return
	}
	changed := 0
	for i, b := range before {
		a := after[i]
		if a == b {
			continue
		}
		changed++
		prefix := commonPrefix([]byte(b.text), []byte(a.text))
		suffix := commonPrefix(reversed([]byte(b.text)), reversed([]byte(a.text)))
		placeholder := strings.Contains(b.text, "career") && strings.Contains(b.text, "{{")
		if a.mediaType != b.mediaType || !strings.HasPrefix(a.mediaType, "text/") || prefix+suffix < len(b.text) && !placeholder {
			t.Errorf("%s: part %d is not the old text with one insertion:\n%q\n%q", name, i, b.text, a.text)
		}
		if !strings.Contains(a.text, "relay.example.net/r/") {
			t.Errorf("%s: part %d has no link", name, i)
		}
	}
	if changed == 0 {
		t.Errorf("%s: sees no change", name)
	}
}

// editedGoldens are the golden mails that are edited, without their ending.
func editedGoldens(t *testing.T) []string {
	files, err := filepath.Glob(goldenDir + "/*.want.eml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d golden mails, %v", len(files), err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".want.eml")
	}
	return files
}
