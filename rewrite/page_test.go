package rewrite

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

const changePage = "../docs/what-we-change.md"

// pageMail is the mail that the page shows in hex: small, in ISO-2022-JP, with a signature.
func pageMail() []byte {
	return []byte(strings.ReplaceAll("From: jinji@corp.example.jp\nTo: taro@mail.example\nSubject: result\nContent-Type: text/plain; charset=iso-2022-jp\n\n"+
		jis("今回は見送ります。\n")+"-- \nHR\n", "\n", "\r\n"))
}

// TestChangePageDumps keeps the page true: its dumps are what the code does.
// With -update they are written anew.
func TestChangePageDumps(t *testing.T) {
	page := string(readFile(t, changePage))
	before := pageMail()
	after, reason := editMail(t, before, testBlock(t, "ja-short"))
	if reason != "" {
		t.Fatalf("the mail of the page is not edited: %s", reason)
	}
	for name, b := range map[string][]byte{"before": before, "after": after} {
		open, end := "<!-- "+name+" -->\n", "<!-- end -->\n"
		head, rest, found := strings.Cut(page, open)
		got, tail, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("the page has no place for the dump %q", name)
		}
		want := "```text\n" + hex.Dump(b) + "```\n"
		if *update {
			page = head + open + want + end + tail
			writeFile(t, changePage, []byte(page))
		} else if got != want {
			t.Errorf("the dump %q is not what the code does: run go test -update", name)
		}
	}
}

// TestChangePageReasons compares the page's tables of reasons with the code's.
func TestChangePageReasons(t *testing.T) {
	page := string(readFile(t, changePage))
	for heading, want := range map[string]map[string]string{
		"## Why a message passes unedited": Reasons(),
		"## Why a part is not chosen":      OutlineReasons(),
	} {
		_, section, found := strings.Cut(page, heading+"\n")
		if !found {
			t.Fatalf("the page has no section %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		listed := map[string]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
			listed[row[1]] = row[2]
		}
		for id, meaning := range want {
			if listed[id] != meaning {
				t.Errorf("%s: want the row | `%s` | %s |", heading, id, meaning)
			}
		}
		if len(listed) != len(want) {
			t.Errorf("%s: %d rows, want %d", heading, len(listed), len(want))
		}
	}
}
