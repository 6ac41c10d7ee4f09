package rewrite

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRandomMails edits mails put together at random: any text, structure,
// charset and transfer encoding. What is edited is proven from inside and
// outside, holds the link, and every reason is in the list.
func TestRandomMails(t *testing.T) {
	block := testBlock(t, "ja-standard")
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(whole(drawEntity(t, 0)))
		m, err := Parse(bytes.NewReader(raw), int64(len(raw)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.Edit(block, EditOptions{})
		if err != nil {
			u, ok := err.(*Unedited)
			if !ok || Reasons()[u.Reason] == "" {
				t.Fatalf("unlisted reason: %v", err)
			}
			return
		}
		if err := e.Prove(); err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		var out bytes.Buffer
		if _, err := e.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		found, err := Compare(bytes.NewReader(raw), int64(len(raw)), bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || len(found) != len(e.Edits()) {
			t.Fatalf("%d insertions of %d, %v\n%s", len(found), len(e.Edits()), err, raw)
		}
		for _, f := range found {
			if !strings.Contains(f.Text, block.Link) {
				t.Fatalf("no link in %q", f.Text)
			}
		}
	})
}

var phrases = []string{
	"今回は見送らせていただきます。", "We regret to inform you.", "ソ表十能予", "お祈り申し上げます。", "敬具", "Kind regards,", "Jo = 1 & 2",
	"", "", "-- ", "━━━━━━━━", "TEL 03-0000-0000", "> old", "On Fri, May 1, 2026, A <a@b.example> wrote:", "--b-mixed-like", ".", "From here", "  blank  ", "株式会社青葉",
}

// drawEntity draws a part with everything below it; lines end in LF.
func drawEntity(t *rapid.T, depth int) string {
	kinds := []string{"mixed", "alternative", "related", "leaf"}
	kind := "leaf"
	if depth < 3 {
		kind = rapid.SampledFrom(kinds).Draw(t, "kind")
	}
	if kind == "leaf" {
		return drawLeaf(t)
	}
	var parts []string
	for range rapid.IntRange(0, 3).Draw(t, "parts") {
		parts = append(parts, drawEntity(t, depth+1))
	}
	// A boundary of its own for each level.
	return strings.ReplaceAll(multi(kind, parts...), "b-"+kind, strings.Repeat("b", depth+1)+"-"+kind)
}

func drawLeaf(t *rapid.T) string {
	lines := rapid.SliceOfN(rapid.SampledFrom(phrases), 0, 8).Draw(t, "lines")
	media, text := "text/plain", strings.Join(lines, "\n")
	switch rapid.IntRange(0, 5).Draw(t, "media") {
	case 0:
		return strings.TrimSuffix(pdfPart, "\n")
	case 1, 2:
		media = "text/html"
		text = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
		wrap := rapid.SampledFrom([]string{"<p>%</p>", "<body><div>%</div></body>", "<table><tr><td>%</td></tr></table>", "<blockquote>x</blockquote>%", "%"}).Draw(t, "wrap")
		text = strings.Replace(wrap, "%", strings.ReplaceAll(text, "\n", "<br>\n"), 1)
	}
	name := rapid.SampledFrom([]string{"utf-8", "iso-2022-jp", "shift_jis", "euc-jp", "us-ascii", "iso-8859-1"}).Draw(t, "charset")
	octets, err := lookupCharset(name).encode(text)
	if err != nil {
		name, octets = "utf-8", []byte(text)
	}
	head := "Content-Type: " + media + "; charset=" + name + "\nContent-Transfer-Encoding: "
	switch rapid.IntRange(0, 2).Draw(t, "encoding") {
	case 0:
		return head + "base64\n\n" + b64(strings.ReplaceAll(string(octets), "\n", "\r\n"), rapid.SampledFrom([]int{4, 60, 61, 76}).Draw(t, "width"))
	case 1:
		return head + "quoted-printable\n\n" + string(encodeQP(octets, lookupCharset(name), "\n"))
	}
	return head + "8bit\n\n" + string(octets)
}

// TestBase64Group: every place in every length of text gives one insertion, and
// the bytes in front of its group and behind the data stay.
func TestBase64Group(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "text")
		raw := []byte(b64(string(text), rapid.IntRange(1, 80).Draw(t, "width")) + "\n\n")
		d := decodeBase64(raw)
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		in := d.insertBase64(raw, change{start: at, end: at, data: []byte("block")}, "\n")
		after := string(raw[:in.start]) + string(in.bytes) + string(raw[in.end:])
		if strings.TrimRight(string(raw[in.end:]), "\n") != "" {
			t.Fatalf("data behind the insertion: %q", raw[in.end:])
		}
		got, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(after, "\n", ""))
		want := string(text[:at]) + "block" + string(text[at:])
		if err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}
