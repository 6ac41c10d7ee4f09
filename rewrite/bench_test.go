package rewrite

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// benchMail makes a mail of the size that the benchmarks speak of. Beyond 30 KB
// the size is an attachment's.
func benchMail(size string) []byte {
	text := jaText + strings.Repeat("選考の結果についてご連絡いたします。\n", 10)
	sized := func(n int) []byte {
		pdf := strings.TrimSuffix(pdfPart, "\n") + "\n" + strings.Repeat(strings.Repeat("A", 76)+"\n", n*76/78/77)
		return []byte(whole(multi("mixed", multi("alternative", utf8Part+"\n"+text, htmlPart+"\n<p>"+text+"</p>"), pdf)))
	}
	switch size {
	case "2KB":
		return []byte(mail("Content-Type: text/plain; charset=iso-2022-jp\n", jis(strings.Repeat(text, 3))))
	case "30KB":
		long := strings.Repeat("<p>選考の結果についてご連絡いたします。</p>\n", 350)
		return []byte(whole(multi("alternative", utf8Part+"\n"+strings.Repeat(text, 8), htmlPart+"\n"+long)))
	case "2MB":
		return sized(2 << 20)
	}
	return sized(25 << 20)
}

var benchSizes = []string{"2KB", "30KB", "2MB", "25MB"}

// BenchmarkUnedited is what a message costs that the rules do not find: the
// index and the reading.
func BenchmarkUnedited(b *testing.B) {
	for _, name := range benchSizes {
		b.Run(name, func(b *testing.B) {
			raw := benchMail(name)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, raw).Reading()
			}
		})
	}
}

// BenchmarkIndex is the one pass alone.
func BenchmarkIndex(b *testing.B) {
	for _, name := range benchSizes {
		b.Run(name, func(b *testing.B) {
			raw := benchMail(name)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, raw)
			}
		})
	}
}

// BenchmarkEdited is the whole way of an edited message: index, reading, edits,
// the proof with both parsers, writing.
func BenchmarkEdited(b *testing.B) {
	block := testBlock(b, "ja-standard")
	for _, name := range benchSizes {
		b.Run(name, func(b *testing.B) {
			raw := benchMail(name)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				m := mustParse(b, raw)
				m.Reading()
				e, err := m.Edit(block, EditOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if err := e.Prove(); err != nil {
					b.Fatal(err)
				}
				if _, err := e.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestMemoryOfLargeMessage: an attachment costs a window of memory, edited or not.
func TestMemoryOfLargeMessage(t *testing.T) {
	raw, block := benchMail("25MB"), testBlock(t, "ja-standard")
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e, err := mustParse(b, raw).Edit(block, EditOptions{})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Prove(); err != nil {
				b.Fatal(err)
			}
		}
	})
	if got := result.AllocedBytesPerOp(); got > 2<<20 {
		t.Errorf("25 MB cost %d bytes of memory, want at most 2 MiB", got)
	}
}

// TestLinearTime: the work of the index does not grow faster than the message,
// whatever its structure. Reads are counted, not time.
func TestLinearTime(t *testing.T) {
	limits := Limits{HeaderBytes: 1 << 30, Parts: 1 << 20, Depth: 1 << 20}
	shapes := map[string]func(n int) []byte{
		"nested": func(n int) []byte { return []byte(nestedMultiparts(n)) },
		"flat": func(n int) []byte {
			return []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", n))
		},
		"dashes": func(n int) []byte {
			return []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat("--\r\n", n))
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			read := func(n int) float64 {
				raw := shape(n)
				r := &countingReader{r: bytes.NewReader(raw)}
				if _, err := Parse(r, int64(len(raw)), limits); err != nil {
					t.Fatal(err)
				}
				return float64(r.n) / float64(len(raw))
			}
			if small, large := read(500), read(5000); large > 2*small+2 {
				t.Errorf("bytes read per byte: %.1f for 500, %.1f for 5,000", small, large)
			}
		})
	}
}

type countingReader struct {
	r io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}
