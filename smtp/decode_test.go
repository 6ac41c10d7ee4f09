package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// decodeAll runs a decoder over octets in pieces of n.
func decodeAll(in string, n int, dots bool, lf error) (out string, rest string, end bool, err error) {
	var b bytes.Buffer
	d := &decoder{dots: dots, lf: lf, emit: func(run []byte) error { b.Write(run); return nil }}
	for at := 0; at < len(in); {
		piece := in[at:min(at+n, len(in))]
		consumed, end := d.decode([]byte(piece))
		at += consumed
		if end {
			return b.String(), in[at:], true, d.err
		}
	}
	return b.String(), "", false, d.err
}

// endings is every variant of an end of data that some server was seen to take
// for one. Only CRLF.CRLF is.
var endings = []struct {
	name string
	in   string
	end  bool
	out  string // what the message is, as far as it goes
	err  error
}{
	{"CRLF . CRLF", "A\r\n.\r\n", true, "A\r\n", nil},
	{"at the very start", ".\r\n", true, "", nil},
	{"LF . CRLF", "A\n.\r\nB\r\n.\r\n", true, "A\r\n.\r\nB\r\n", nil},
	{"LF . LF", "A\n.\nB\r\n.\r\n", true, "A\r\n.\r\nB\r\n", nil},
	{"CRLF . LF", "A\r\n.\nB\r\n.\r\n", true, "A\r\n\r\nB\r\n", nil},
	{"CR . CR", "A\r.\rB\r\n.\r\n", true, "A", errBareCR},
	{"CR . CRLF", "A\r.\r\nB\r\n.\r\n", true, "A", errBareCR},
	{"CRLF . CR", "A\r\n.\rB\r\n.\r\n", true, "A\r\n", errBareCR},
	{"LF . CR", "A\n.\rB\r\n.\r\n", true, "A\r\n.", errBareCR},
	{"CR . LF", "A\r.\nB\r\n.\r\n", true, "A", errBareCR},
	{"CR CRLF . CRLF", "A\r\r\n.\r\n", true, "A", errBareCR},
	{"CRLF . CR CRLF", "A\r\n.\r\r\nB\r\n.\r\n", true, "A\r\n", errBareCR},
	{"CRLF NUL . CRLF", "A\r\n\x00.\r\nB\r\n.\r\n", true, "A\r\n\x00.\r\nB\r\n", nil},
	{"CRLF . NUL CRLF", "A\r\n.\x00\r\nB\r\n.\r\n", true, "A\r\n\x00\r\nB\r\n", nil},
	{"CRLF LF . CRLF", "A\r\n\n.\r\nB\r\n.\r\n", true, "A\r\n\r\n.\r\nB\r\n", nil},
	{"CRLF .. CRLF", "A\r\n..\r\n.\r\n", true, "A\r\n.\r\n", nil},
	{"CRLF . CRLF behind a blank", "A\r\n. \r\n.\r\n", true, "A\r\n \r\n", nil},
	{"no end", "A\r\n.", false, "A\r\n", nil},
	{"no end after CR", "A\r\n.\r", false, "A\r\n", nil},
}

func TestDecodeEndings(t *testing.T) {
	for _, tc := range endings {
		t.Run(tc.name, func(t *testing.T) {
			for n := 1; n <= len(tc.in); n++ {
				out, rest, end, err := decodeAll(tc.in, n, true, nil)
				if out != tc.out || end != tc.end || rest != "" || !errors.Is(err, tc.err) {
					t.Errorf("in pieces of %d: got %q, rest %q, end %v, %v; want %q, end %v, %v", n, out, rest, end, err, tc.out, tc.end, tc.err)
				}
			}
		})
	}
}

func TestDecodeChunk(t *testing.T) {
	for _, tc := range []struct {
		name, in, out string
		lf, err       error
	}{
		{"a dot is content", "A\r\n.\r\nB", "A\r\n.\r\nB", nil, nil},
		{"bare LF", "A\nB\r\n", "A\r\nB\r\n", nil, nil},
		{"bare LF refused", "A\nB\r\n", "A", errBareLF, errBareLF},
		{"bare CR", "A\rB\r\n", "A", nil, errBareCR},
		{"CR at the end", "A\r", "A", nil, errBareCR},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for n := 1; n <= len(tc.in); n++ {
				var b bytes.Buffer
				d := &decoder{lf: tc.lf, emit: func(run []byte) error { b.Write(run); return nil }}
				for at := 0; at < len(tc.in); at += n {
					d.decode([]byte(tc.in[at:min(at+n, len(tc.in))]))
				}
				d.finish()
				if b.String() != tc.out || !errors.Is(d.err, tc.err) {
					t.Errorf("in pieces of %d: got %q, %v; want %q, %v", n, b.String(), d.err, tc.out, tc.err)
				}
			}
		})
	}
}

// TestDecodeStuffed: whatever lines a message has, dot-stuffed they come back.
func TestDecodeStuffed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[.a \x00\xe9]{0,5}`)).Draw(t, "lines")
		var message, stuffed strings.Builder
		for _, l := range lines {
			message.WriteString(l + "\r\n")
			if strings.HasPrefix(l, ".") {
				stuffed.WriteString(".")
			}
			stuffed.WriteString(l + "\r\n")
		}
		n := rapid.IntRange(1, 20).Draw(t, "piece")
		out, rest, end, err := decodeAll(stuffed.String()+".\r\nQUIT\r\n", n, true, nil)
		if out != message.String() || !end || rest != "QUIT\r\n" || err != nil {
			t.Fatalf("got %q, rest %q, end %v, %v; want %q", out, rest, end, err, message.String())
		}
	})
}

// FuzzDecode: the end is where the first CRLF.CRLF is and nowhere else, and what
// comes out has no bare line end.
func FuzzDecode(f *testing.F) {
	for _, e := range endings {
		f.Add(e.in, 3)
	}
	f.Fuzz(func(t *testing.T, in string, n int) {
		if n < 1 {
			return
		}
		out, rest, end, err := decodeAll(in, n, true, nil)
		at := strings.Index("\r\n"+in, "\r\n.\r\n")
		if end != (at >= 0) || end && len(rest) != len(in)-at-3 {
			t.Fatalf("%q: end %v with %d octets left, CRLF.CRLF at %d", in, end, len(rest), at)
		}
		if plain := strings.ReplaceAll(out, "\r\n", ""); err == nil && strings.ContainsAny(plain, "\r\n") {
			t.Fatalf("%q: bare line end in %q", in, out)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	message := []byte(strings.Repeat(strings.Repeat("x", 74)+"\r\n", 800))
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		d := &decoder{dots: true, emit: func([]byte) error { return nil }}
		d.decode(message)
	}
}
