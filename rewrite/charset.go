package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// family is how a charset's bytes make up characters: what is needed to know
// which bytes a character came from.
type family int

const (
	singleByte family = iota
	utf8Family
	shiftJIS
	eucJP
	iso2022JP
	opaque // readable through x/text, never edited: utf-16, gb2312 and others
)

// charset is one character encoding under its canonical name.
type charset struct {
	name   string
	family family
	enc    encoding.Encoding
}

// aliases are the labels seen in Japanese and Western mail that the standard
// index does not know, or knows as something narrower than what senders mean.
// Outlook labels CP50221 (half-width kana, NEC and IBM extensions) as ISO-2022-JP.
var aliases = map[string]string{
	"cp932": "shift_jis", "x-ms-cp932": "shift_jis", "ms932": "shift_jis", "windows-31j": "shift_jis", "cp943c": "shift_jis",
	"eucjp": "euc-jp", "eucjp-ms": "euc-jp", "eucjp-win": "euc-jp", "cp51932": "euc-jp",
	"cp50220": "iso-2022-jp", "cp50221": "iso-2022-jp", "cp50222": "iso-2022-jp", "iso-2022-jp-ms": "iso-2022-jp",
	"iso-2022-jp-1": "iso-2022-jp", "jis": "iso-2022-jp",
	"utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "ansi_x3.4-1968": "us-ascii", "ascii": "us-ascii", "646": "us-ascii", "us": "us-ascii",
	"latin1": "iso-8859-1", "latin-1": "iso-8859-1", "cp1252": "windows-1252", "cp1250": "windows-1250", "cp1251": "windows-1251",
}

// isoLatin are the charsets that the web's index widens to windows-125x; mail
// means the ISO ones.
var isoLatin = map[string]encoding.Encoding{
	"iso-8859-1": charmap.ISO8859_1, "iso-8859-9": charmap.ISO8859_9,
}

// lookupCharset finds a charset by its label; nil if it is unknown.
func lookupCharset(label string) *charset {
	label = strings.ToLower(strings.Trim(label, " \t\"'"))
	if alias, ok := aliases[label]; ok {
		label = alias
	}
	switch label {
	case "utf-8":
		return &charset{label, utf8Family, unicode.UTF8}
	case "us-ascii":
		return &charset{label, singleByte, unicode.UTF8}
	case "shift_jis", "shift-jis", "sjis", "x-sjis":
		return &charset{"shift_jis", shiftJIS, japanese.ShiftJIS}
	case "euc-jp", "x-euc-jp":
		return &charset{"euc-jp", eucJP, japanese.EUCJP}
	case "iso-2022-jp", "csiso2022jp":
		return &charset{"iso-2022-jp", iso2022JP, japanese.ISO2022JP}
	}
	if enc, ok := isoLatin[label]; ok {
		return &charset{label, singleByte, enc}
	}
	enc, err := htmlindex.Get(label)
	if err != nil || enc == encoding.Replacement {
		return nil
	}
	name, _ := htmlindex.Name(enc)
	if _, ok := enc.(*charmap.Charmap); ok {
		return &charset{name, singleByte, enc}
	}
	return &charset{name, opaque, enc}
}

// sniffCharset names the charset of bytes that carry no usable label, by their
// form alone, never by statistics: escape sequences, valid UTF-8, then the byte
// patterns of Shift_JIS and EUC-JP. nil when they are plain ASCII or nothing fits.
func sniffCharset(b []byte) *charset {
	for _, esc := range []string{"\x1b$@", "\x1b$B", "\x1b(I"} {
		if bytes.Contains(b, []byte(esc)) {
			return lookupCharset("iso-2022-jp")
		}
	}
	switch {
	case isASCII(b):
		return nil
	case utf8.Valid(b):
		return lookupCharset("utf-8")
	}
	for _, name := range []string{"euc-jp", "shift_jis"} {
		if cs := lookupCharset(name); !strings.ContainsRune(cs.decode(b), utf8.RuneError) {
			return cs
		}
	}
	return nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// fits tells whether the bytes can be what the label says they are.
func (c *charset) fits(b []byte) bool {
	switch {
	case c.name == "us-ascii":
		return isASCII(b) && !bytes.Contains(b, []byte("\x1b$"))
	case c.family == utf8Family:
		return utf8.Valid(b)
	case c.family == singleByte:
		return !bytes.Contains(b, []byte("\x1b$"))
	case c.family == opaque:
		return true
	case c.family == iso2022JP && !cleanJIS(b):
		return false
	}
	return !strings.ContainsRune(c.decode(b), utf8.RuneError)
}

// cleanJIS tells whether the octets are ISO-2022-JP that all readers read alike:
// seven bits, escape sequences of the sets we know, and in a set other than ASCII
// graphic characters and line ends alone.
func cleanJIS(b []byte) bool {
	ascii := true
	for i := 0; i < len(b); {
		if esc := jisEscape(b[i:]); esc != nil {
			if len(esc) == 1 {
				return false // of a set that we do not know, or of none
			}
			ascii = asciiSet(esc)
			i += len(esc)
			continue
		}
		graphic := b[i] > ' ' && b[i] < 0x7f || b[i] == '\r' || b[i] == '\n'
		if b[i] >= 0x80 || !ascii && !graphic {
			return false
		}
		i++
	}
	return true
}

// asciiSet tells whether the escape sequence is that of ASCII, or of JIS X 0201
// Roman, which is the same but for two characters.
func asciiSet(esc []byte) bool {
	return bytes.Equal(esc, []byte("\x1b(B")) || bytes.Equal(esc, []byte("\x1b(J"))
}

// decode converts to UTF-8; what can't be converted becomes U+FFFD.
func (c *charset) decode(b []byte) string {
	switch c.family {
	case utf8Family:
		return strings.ToValidUTF8(string(b), "\uFFFD")
	case iso2022JP: // run by run: an escape sequence may be open at a line end
		return c.decodeMapped(b).text
	}
	return c.decodeRun(b)
}

// decodeRun decodes bytes that hold no line end inside a two-byte set.
func (c *charset) decodeRun(b []byte) string {
	out, err := c.enc.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// lookalikes replaces characters that the Japanese encodings lack by those that
// the Windows code pages map their bytes to.
var lookalikes = strings.NewReplacer("\u301C", "\uFF5E", "\u2212", "\uFF0D", "\u2014", "\u2015", "\u2016", "\u2225", "\u00A2", "\uFFE0", "\u00A3", "\uFFE1", "\u00AC", "\uFFE2")

var errCannotEncode = errors.New("charset cannot carry the text")

// encode converts text to the charset, line by line: ISO-2022-JP returns to
// ASCII before each line end (RFC 1468). It fails rather than replace a character.
func (c *charset) encode(text string) ([]byte, error) {
	switch {
	case c.family == utf8Family:
		return []byte(text), nil
	case c.name == "us-ascii":
		if !isASCII([]byte(text)) {
			return nil, fmt.Errorf("encode us-ascii: %w", errCannotEncode)
		}
		return []byte(text), nil
	case c.family == opaque:
		return nil, fmt.Errorf("encode %s: %w", c.name, errCannotEncode)
	case c.family != singleByte:
		text = lookalikes.Replace(text)
	}
	var out []byte
	for line := range strings.SplitAfterSeq(text, "\n") {
		b, err := c.enc.NewEncoder().Bytes([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", c.name, errCannotEncode)
		}
		out = append(out, b...)
	}
	if c.decode(out) != text {
		return nil, fmt.Errorf("encode %s: %w", c.name, errCannotEncode)
	}
	return out, nil
}

// mapped is decoded text that knows where each byte of it came from.
type mapped struct {
	text string
	pos  []int32 // pos[i] is the offset in the source of text[i]; pos[len(text)] is its end; nil for i itself
}

func (m mapped) source(i int) int {
	if m.pos == nil {
		return i
	}
	return int(m.pos[i])
}

// decodeMapped decodes and keeps the way back. Only for families that are edited.
func (c *charset) decodeMapped(b []byte) mapped {
	if c.family == utf8Family || isASCII(b) && c.family != iso2022JP {
		return mapped{text: string(b)}
	}
	d := mapper{c: c, decoder: c.enc.NewDecoder(), pos: make([]int32, 0, len(b)*3/2+1)}
	d.text.Grow(len(b) * 3 / 2)
	for i := 0; i < len(b); {
		n := d.run(b, i)
		i += n
	}
	d.pos = append(d.pos, int32(len(b)))
	return mapped{text: d.text.String(), pos: d.pos}
}

// mapper decodes runs of characters and maps each character to its bytes.
type mapper struct {
	c       *charset
	decoder *encoding.Decoder
	esc     []byte // ISO-2022-JP: the escape sequence in force, nil for ASCII
	text    strings.Builder
	pos     []int32
	escaped []byte  // scratch: a run behind its escape sequence
	decoded []byte  // scratch: what a run decodes to
	sizes   []uint8 // scratch: the length of each character of a run
}

// run takes the longest run of one kind from b[i:] and returns its length.
func (d *mapper) run(b []byte, i int) int {
	if d.c.family == iso2022JP {
		return d.runJIS(b, i)
	}
	n := 0
	for i+n < len(b) && b[i+n] < 0x80 {
		n++
	}
	if n > 0 {
		d.add(b[i:i+n], i, nil)
		return n
	}
	sizes := d.sizes[:0]
	for i+n < len(b) && b[i+n] >= 0x80 {
		size := min(d.c.charLen(b[i+n:]), len(b)-i-n)
		sizes, n = append(sizes, uint8(size)), n+size
	}
	d.sizes = sizes
	d.add(d.decode(b[i:i+n]), i, sizes)
	return n
}

// decode is charset.decodeRun; the result is good until the next call.
func (d *mapper) decode(run []byte) []byte {
	out, _, err := transform.Append(d.decoder, d.decoded[:0], run)
	if err != nil {
		return bytes.ToValidUTF8(run, []byte("\uFFFD"))
	}
	d.decoded = out
	return out
}

// charLen is the number of bytes of the non-ASCII character that b starts with.
func (c *charset) charLen(b []byte) int {
	lead := b[0]
	switch c.family {
	case shiftJIS:
		if lead >= 0xa1 && lead <= 0xdf || lead == 0x80 || lead == 0xa0 || lead > 0xfc {
			return 1
		}
		return 2
	case eucJP:
		if lead == 0x8f {
			return 3
		}
		if lead == 0x8e || lead >= 0xa1 {
			return 2
		}
	}
	return 1
}

// runJIS takes one stretch between escape sequences or line ends.
func (d *mapper) runJIS(b []byte, i int) int {
	if esc := jisEscape(b[i:]); esc != nil {
		if d.esc = esc; asciiSet(esc) {
			d.esc = nil
		}
		return len(esc)
	}
	if b[i] == '\n' || b[i] == '\r' {
		d.add(b[i:i+1], i, nil)
		return 1
	}
	n := 1
	for i+n < len(b) && b[i+n] != 0x1b && b[i+n] != '\n' && b[i+n] != '\r' {
		n++
	}
	if d.esc == nil {
		d.add(bytes.ToValidUTF8(b[i:i+n], []byte("\uFFFD")), i, nil)
		return n
	}
	size := 2
	if bytes.Equal(d.esc, []byte("\x1b(I")) {
		size = 1 // half-width kana
	}
	sizes := d.sizes[:0]
	for left := n; left > 0; left -= size {
		sizes = append(sizes, uint8(min(size, left)))
	}
	d.sizes = sizes
	d.escaped = append(append(d.escaped[:0], d.esc...), b[i:i+n]...)
	d.add(d.decode(d.escaped), i, sizes)
	return n
}

// jisEscape returns the escape sequence that b starts with, or nil.
func jisEscape(b []byte) []byte {
	if b[0] != 0x1b {
		return nil
	}
	for _, esc := range []string{"\x1b$(D", "\x1b$@", "\x1b$B", "\x1b(B", "\x1b(J", "\x1b(I"} {
		if bytes.HasPrefix(b, []byte(esc)) {
			return b[:len(esc)]
		}
	}
	return b[:1] // not one of ours: dropped from the text, kept in the source
}

// add appends text whose characters have the given sizes in the source (one byte
// each without sizes). When the counts disagree, all map to the run's start.
func (d *mapper) add(text []byte, at int, sizes []uint8) {
	exact := sizes != nil && utf8.RuneCount(text) == len(sizes)
	k := 0
	for i := 0; i < len(text); k++ {
		_, size := utf8.DecodeRune(text[i:])
		for range size {
			d.pos = append(d.pos, int32(at))
		}
		i += size
		switch {
		case sizes == nil:
			at++
		case exact:
			at += int(sizes[k])
		}
	}
	d.text.Write(text)
}

// wordReader reads the charsets of encoded words (RFC 2047) through our layer.
func wordReader(label string, r io.Reader) (io.Reader, error) {
	label, _, _ = strings.Cut(label, "*") // RFC 2231, section 5: a language may follow
	cs := lookupCharset(label)
	if cs == nil {
		return nil, fmt.Errorf("unknown charset %q", label)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return strings.NewReader(cs.decode(b)), nil
}
