package rewrite

import (
	"bytes"
	"testing"
)

// FuzzEdit runs the whole pipeline on anything: no panic, and whatever is edited
// is proven from the inside and from the outside.
func FuzzEdit(f *testing.F) {
	for _, c := range mimeCases {
		f.Add([]byte(c.raw))
	}
	block := testBlock(f, "ja-standard")
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := mustParse(t, raw)
		m.Reading()
		e, err := m.Edit(block, EditOptions{})
		if err != nil {
			return
		}
		if err := e.Prove(); err != nil {
			if _, ok := err.(*Unedited); ok {
				return
			}
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := e.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := Compare(bytes.NewReader(raw), int64(len(raw)), bytes.NewReader(out.Bytes()), int64(out.Len())); err != nil {
			t.Fatalf("proven and yet different: %v", err)
		}
	})
}

// FuzzTransfer decodes and re-encodes: a change of the decoded octets is exactly
// that change after another decoding.
func FuzzTransfer(f *testing.F) {
	f.Add([]byte("=E4=BB=8A=\r\n x =3D\r\nend"), 2, true)
	f.Add([]byte("5LuK5Zue\r\nAAAA\r\n"), 4, false)
	f.Fuzz(func(t *testing.T, raw []byte, at int, qp bool) {
		decode, name := decodeBase64, "base64"
		if qp {
			decode, name = decodeQP, "quoted-printable"
		}
		d := decode(raw)
		if at < 0 || at > len(d.data) || d.irregular != "" {
			return
		}
		if at > 0 && d.data[at-1] != '\n' && d.data[at-1] != '>' {
			return // a block goes behind a line or a tag
		}
		l := &leaf{part: &Part{Encoding: name}, raw: raw, dec: d, charset: lookupCharset("utf-8")}
		c := change{start: at, end: at, data: []byte(l.textEOL() + "今回は" + l.textEOL())}
		in := l.insert(c)
		if in.start > 0 && raw[in.start-1] == '=' {
			return // a "=" that escapes nothing: what follows it decides what it is
		}
		after := decode(append(append(append([]byte{}, raw[:in.start]...), in.bytes...), raw[in.end:]...))
		want := string(d.data[:at]) + string(c.data) + string(d.data[at:])
		if got := string(after.data); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// FuzzCharset checks that the map from text to octets stays in order and in range.
func FuzzCharset(f *testing.F) {
	f.Add([]byte("\x1b$B:#2s\x1b(B a\n\x1b(I6E"), "iso-2022-jp")
	f.Add([]byte("\x83\x5c a \xfc\xfc"), "shift_jis")
	f.Add([]byte("\xa4\xa2\x8f\xb0\xa1"), "euc-jp")
	f.Fuzz(func(t *testing.T, b []byte, label string) {
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
	})
}
