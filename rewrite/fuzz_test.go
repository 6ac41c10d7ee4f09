package rewrite

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// bounded fails a fuzz case that takes far longer than its kilobytes explain:
// milliseconds on an idle machine.
func bounded(t *testing.T) func() {
	start := time.Now()
	return func() {
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("took %v", took)
		}
	}
}

// FuzzPipeline runs everything that a message goes through on anything: no
// panic, in bounded time; what is edited is proven from the inside and from the
// outside; what is not is what came. The only edit that the proof may refuse is
// of a message that the second parser cannot read as it came.
func FuzzPipeline(f *testing.F) {
	for _, c := range slices.Concat(mimeCases, moreMIMECases) {
		f.Add([]byte(c.raw), false, false)
	}
	f.Add([]byte(oldSignature+otherSignature+mimeCases[0].raw), true, true)
	block, rules := testBlock(f, "ja-standard"), testRules(f)
	f.Fuzz(func(t *testing.T, raw []byte, sevenBit, resign bool) {
		defer bounded(t)()
		came := bytes.Clone(raw)
		m := mustParse(t, raw)
		m.Outline()
		reading := m.Reading()
		rules.Decide(&reading, Envelope{From: "hr@corp.example.jp", Recipients: []string{"taro@mail.example"}, OwnDomains: []string{"corp.example.jp"}})
		o := EditOptions{SevenBit: sevenBit, BreakDKIM: resign}
		if resign {
			o.StripDKIM = "corp.example.jp"
		}
		out := pipeline(t, m, block, o)
		if !bytes.Equal(raw, came) {
			t.Fatal("the message itself was changed")
		}
		if out == nil {
			return
		}
		if resign {
			out = append([]byte("DKIM-Signature: v=1; d=corp.example.jp; s=new; b=\r\n"), out...)
		}
		if _, err := Compare(bytes.NewReader(raw), int64(len(raw)), bytes.NewReader(out), int64(len(out))); err != nil {
			t.Fatalf("proven and yet different: %v", err)
		}
	})
}

// pipeline edits and proves, and returns what goes upstream; nil for the
// original.
func pipeline(t *testing.T, m *Message, b Block, o EditOptions) []byte {
	e, err := m.Edit(b, o)
	if err == nil {
		err = e.Prove()
	}
	if u, ok := err.(*Unedited); ok {
		if Reasons()[u.Reason] == "" {
			t.Fatalf("reason %q is not in the list", u.Reason)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if n, err := e.WriteTo(&out); err != nil || n != int64(out.Len()) || n != e.Size() {
		t.Fatalf("wrote %d of %d, %v", n, e.Size(), err)
	}
	return out.Bytes()
}

// places are the octets of data that a block may go to: its beginning and its
// end, and behind each line and each tag, 20 at most.
func places(data []byte) []int {
	all := []int{0, len(data)}
	for i, c := range data {
		if (c == '\n' || c == '>') && len(all) < 20 {
			all = append(all, i+1)
		}
	}
	return all
}

// FuzzQuotedPrintable: an insertion into any quoted-printable body decodes to
// exactly that insertion, in lines of at most 76 characters, or is refused.
func FuzzQuotedPrintable(f *testing.F) {
	for _, s := range []string{
		"=E4=BB=8A=\r\n x =3D\r\nend", "a=\r\n", "a = \r\nb", "a=", "a= ", "=4\r\n>=", "x  \r\n \r\n", "=0A=0D=0A=3e", "=\n=\r", "a=3D  \r\n", "<p>=\n</p>=  ",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer bounded(t)()
		d := decodeQP(raw)
		l := &leaf{part: &Part{Encoding: "quoted-printable"}, raw: raw, dec: d, charset: lookupCharset("utf-8")}
		for _, at := range places(d.data) {
			c := change{start: at, end: at, data: []byte(l.textEOL() + "今回は " + strings.Repeat("長い", 40) + l.textEOL())}
			in := l.insert(c)
			if d.qpStray(raw, c, in) {
				continue
			}
			checkInsertion(t, raw, in, c, decodeQP)
			for line := range bytes.SplitSeq(in.bytes, []byte("\n")) {
				if len(bytes.TrimRight(line, "\r")) > 76 {
					t.Fatalf("a line of %d in %q", len(line), in.bytes)
				}
			}
		}
	})
}

// FuzzBase64: the same for base64; what stands before the group and behind the
// data is what stood there.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"5LuK5Zue\r\nAAAA\r\n", "YQ==", "YWI=\n\n", "Cg==  \r\n", "PgoK\nCgo+\n", "YQ==YQ==", "Y", "=", "C g = =", "Cg*=="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer bounded(t)()
		d := decodeBase64(raw)
		if d.irregular != "" {
			return
		}
		l := &leaf{part: &Part{Encoding: "base64"}, raw: raw, dec: d, charset: lookupCharset("utf-8")}
		for _, at := range places(d.data) {
			c := change{start: at, end: at, data: []byte(l.textEOL() + "今回は" + l.textEOL())}
			checkInsertion(t, raw, l.insert(c), c, decodeBase64)
		}
	})
}

func checkInsertion(t *testing.T, raw []byte, in insertion, c change, decode func([]byte) decoded) {
	t.Helper()
	if in.start < 0 || in.end < in.start || in.end > len(raw) {
		t.Fatalf("insertion from %d to %d of %d", in.start, in.end, len(raw))
	}
	d, after := decode(raw), decode(slices.Concat(raw[:in.start], in.bytes, raw[in.end:]))
	if want := slices.Concat(d.data[:c.start], c.data, d.data[c.end:]); !bytes.Equal(after.data, want) || after.irregular != "" {
		t.Fatalf("at %d: got %q %s, want %q", c.start, after.data, after.irregular, want)
	}
}

// FuzzCharset: the map from text to octets stays in order and in range, and the
// wording put behind any line, as octets, is the wording behind that line to who
// decodes all of it.
func FuzzCharset(f *testing.F) {
	f.Add([]byte("\x1b$B:#2s\x1b(B a\n\x1b(I6E"), "iso-2022-jp")
	f.Add([]byte("\x1b$B:#2s\n!!\n\x1b(J\\\n\x1b(I6E\n\x1b(B"), "iso-2022-jp")
	f.Add([]byte("\x83\x5c a \xfc\xfc\n\x81\n"), "shift_jis")
	f.Add([]byte("\xa4\xa2\x8f\xb0\xa1\n\x8e\xb1"), "euc-jp")
	f.Add([]byte("\xe4\xbb\x8a\n\xff"), "utf-8")
	f.Add([]byte("\xe9\n"), "windows-1252")
	text := testBlock(f, "ja-standard").Text
	f.Fuzz(func(t *testing.T, b []byte, label string) {
		defer bounded(t)()
		cs := lookupCharset(label)
		if cs == nil || cs.family == opaque {
			return
		}
		m := cs.decodeMapped(b)
		last := 0
		for i := 0; i <= len(m.text); i++ {
			at := m.source(i)
			if at < last || at > len(b) {
				t.Fatalf("text offset %d maps to %d, the one before to %d, of %d", i, at, last, len(b))
			}
			last = at
		}
		if cs.fits(b) {
			checkWording(t, b, cs, m, text)
		}
	})
}

// checkWording puts the wording behind each line of the text.
func checkWording(t *testing.T, b []byte, cs *charset, m mapped, text string) {
	t.Helper()
	octets, err := cs.encode(text)
	if err != nil {
		return
	}
	l := &leaf{part: &Part{Encoding: "8bit"}, raw: b, dec: decoded{data: b, tail: len(b)}, charset: cs, text: m}
	for _, i := range places([]byte(m.text)) {
		at := l.octet(i)
		data, ok := l.shield(bytes.Clone(octets), at)
		if !ok {
			continue
		}
		got := cs.decode(slices.Concat(b[:at], data, b[at:]))
		if want := m.text[:i] + text + m.text[i:]; got != want {
			t.Fatalf("behind %q: got %q, want %q", m.text[:i], got, want)
		}
	}
}
