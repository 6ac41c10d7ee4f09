package rewrite

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
)

// decoded is a body after its transfer encoding was removed. pos[i] is the offset
// in the raw body of the bytes that stand for octet i (for base64: of its group
// of four characters); nil for i itself. tail is where the encoded data ends.
type decoded struct {
	data []byte
	pos  []int32
	tail int

	irregular string // why the encoding can't be edited: base64_irregular; or ""
}

func (d decoded) source(i int) int {
	if d.pos == nil {
		return i
	}
	if i >= len(d.data) {
		return d.tail
	}
	return int(d.pos[i])
}

var errTooLong = errors.New("text is too long")

// decodeTransfer removes the transfer encoding (RFC 2045, section 6). Unknown
// names decode as they stand: ok is false then.
func decodeTransfer(encoding string, raw []byte) (d decoded, ok bool) {
	switch encoding {
	case "7bit", "8bit", "binary":
		return decoded{data: raw, tail: len(raw)}, true
	case "quoted-printable":
		return decodeQP(raw), true
	case "base64":
		return decodeBase64(raw), true
	}
	return decoded{data: raw, tail: len(raw)}, false
}

// decodeQP is tolerant: an "=" that starts no escape stands for itself, blanks
// at the end of a raw line are dropped (RFC 2045, section 6.7, rule 3), also
// behind a soft line break.
func decodeQP(raw []byte) decoded {
	d := decoded{data: make([]byte, 0, len(raw)), pos: make([]int32, 0, len(raw)), tail: len(raw)}
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '=':
			i += d.escape(raw, i)
		case c == ' ' || c == '\t':
			n := blanks(raw[i:])
			if end := i + n; end == len(raw) || raw[end] == '\n' || raw[end] == '\r' {
				i = end
				continue
			}
			for range n {
				d.put(raw[i], i)
				i++
			}
		default:
			n := bytes.IndexAny(raw[i:], "= \t")
			if n < 0 {
				n = len(raw) - i
			}
			d.data = append(d.data, raw[i:i+n]...)
			for end := i + n; i < end; i++ {
				d.pos = append(d.pos, int32(i))
			}
		}
	}
	return d
}

func (d *decoded) put(c byte, at int) {
	d.data = append(d.data, c)
	d.pos = append(d.pos, int32(at))
}

// escape handles the "=" at raw[i] and returns how many raw bytes it covers.
func (d *decoded) escape(raw []byte, i int) int {
	if i+2 < len(raw) {
		if hi, lo := unhex(raw[i+1]), unhex(raw[i+2]); hi >= 0 && lo >= 0 {
			d.put(byte(hi<<4|lo), i)
			return 3
		}
	}
	n := 1 + blanks(raw[i+1:])
	switch rest := raw[i+n:]; {
	case len(rest) == 0:
		return n
	case rest[0] == '\n':
		return n + 1
	case bytes.HasPrefix(rest, []byte("\r\n")):
		return n + 2
	}
	d.put('=', i)
	return 1
}

func blanks(b []byte) int { return len(b) - len(bytes.TrimLeft(b, " \t")) }

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// decodeBase64 decodes all groups. Data that two readers may end at different
// places (padding inside, foreign characters, an incomplete last group) is
// readable but irregular: it is never edited.
func decodeBase64(raw []byte) decoded {
	d := decoded{data: make([]byte, 0, len(raw)*3/4), pos: make([]int32, 0, len(raw)*3/4)}
	var group [4]byte
	n, start, padded := 0, 0, false
	for i, c := range raw {
		switch {
		case c == '\r' || c == '\n' || c == ' ' || c == '\t':
			continue
		case c != '=' && !base64Char(c):
			d.irregular = "base64_irregular"
			continue
		case padded && n == 0:
			d.irregular = "base64_irregular" // data behind the padding
		}
		if n == 0 {
			start = i
		}
		group[n] = c
		n++
		d.tail = i + 1
		if n == 4 {
			n = 0
			padded = d.group(group, start) || padded
		}
	}
	if n != 0 {
		d.irregular = "base64_irregular"
		for ; n < 4; n++ {
			group[n] = '='
		}
		d.group(group, start)
	}
	return d
}

// group decodes four characters and tells whether they ended in padding.
func (d *decoded) group(g [4]byte, start int) bool {
	a, b, c, e := base64Value[g[0]], base64Value[g[1]], base64Value[g[2]], base64Value[g[3]]
	if a|b|c|e < 64 { // no padding
		at := int32(start)
		d.data = append(d.data, a<<2|b>>4, b<<4|c>>2, c<<6|e)
		d.pos = append(d.pos, at, at, at)
		return false
	}
	var out [3]byte
	n, err := base64.StdEncoding.Decode(out[:], g[:])
	if err != nil {
		d.irregular = "base64_irregular"
	}
	for _, c := range out[:n] {
		d.put(c, start)
	}
	return g[3] == '='
}

func base64Char(c byte) bool { return base64Value[c] < 64 }

// base64Value is what a character stands for; 255 for those that stand for nothing.
var base64Value = func() (values [256]byte) {
	for i := range values {
		values[i] = 255
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		values[c] = byte(i)
	}
	return values
}()

// insertion is what an edit of one part does to its raw body.
type insertion struct {
	start, end int // raw body bytes that are replaced (start == end: none)
	bytes      []byte
}

// encodeQP writes octets as quoted-printable raw lines of at most 76 characters.
// chars holds the length of each character, so that a soft line break never
// falls inside one. Line ends of data ("\r\n" or "\n") become hard line breaks.
func encodeQP(data []byte, cs *charset, eol string) []byte {
	var out []byte
	column := 0
	for len(data) > 0 {
		if n := lineEndLen(data); n > 0 {
			out, column, data = append(out, eol...), 0, data[n:]
			continue
		}
		n := cs.unitLen(data)
		unit := qpUnit(data[:n], n < len(data) && lineEndLen(data[n:]) == 0)
		if column+len(unit) > 75 {
			out, column = append(append(out, '='), eol...), 0
		}
		out, column, data = append(out, unit...), column+len(unit), data[n:]
	}
	return out
}

// unitLen is the length of the character at the start of data.
func (c *charset) unitLen(data []byte) int {
	switch {
	case data[0] < 0x80 || c.family == singleByte:
		return 1
	case c.family == utf8Family:
		n := 1
		for n < len(data) && data[n]&0xc0 == 0x80 {
			n++
		}
		return n
	}
	return min(c.charLen(data), len(data))
}

const hexDigits = "0123456789ABCDEF"

// qpUnit encodes one character; a blank stays only when more of its line follows.
func qpUnit(char []byte, more bool) []byte {
	var out []byte
	for _, c := range char {
		if c > ' ' && c < 0x7f && c != '=' || c == ' ' && more {
			out = append(out, c)
			continue
		}
		out = append(out, '=', hexDigits[c>>4], hexDigits[c&15])
	}
	return out
}

func lineEndLen(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\r\n")):
		return 2
	case len(b) > 0 && b[0] == '\n':
		return 1
	}
	return 0
}

// insertQP encodes a change of the decoded octets.
func (d decoded) insertQP(raw []byte, c change, cs *charset, eol string) insertion {
	start, end := d.source(c.start), d.source(c.end)
	if c.start == c.end {
		start = d.beforeBlanks(raw, c.start)
		end = start
	}
	encoded := encodeQP(c.data, cs, eol)
	if start > 0 && raw[start-1] != '\n' {
		encoded = append([]byte("="+eol), encoded...) // a soft break ends the raw line we cut
	}
	if end < len(raw) && !bytes.HasSuffix(encoded, []byte(eol)) {
		encoded = append(append(encoded, '='), eol...)
	}
	return insertion{start, end, encoded}
}

// qpStray tells whether an "=" that escapes nothing stands in the raw lines that
// the insertion touches, or whether they decode to anything but the change:
// readers differ in what they make of such an "=", and of what follows it.
func (d decoded) qpStray(raw []byte, c change, in insertion) bool {
	from, to := bytes.LastIndexByte(raw[:in.start], '\n')+1, len(raw)
	if i := bytes.IndexByte(raw[in.end:], '\n'); i >= 0 {
		to = in.end + i + 1
	}
	before := decodeQP(raw[from:to])
	for i, c := range before.data {
		if at := from + int(before.pos[i]); c == '=' && !bytes.EqualFold(raw[at:min(at+3, len(raw))], []byte("=3D")) {
			return true
		}
	}
	first, _ := slices.BinarySearch(d.pos, int32(from)) // decoding starts anew with each raw line
	after := decodeQP(slices.Concat(raw[from:in.start], in.bytes, raw[in.end:to]))
	return !bytes.Equal(after.data, slices.Concat(before.data[:c.start-first], c.data, before.data[c.end-first:]))
}

// beforeBlanks is the raw place of octet at, in front of blanks that end a raw
// line: they are not part of the text, and must stay at their line's end.
func (d decoded) beforeBlanks(raw []byte, at int) int {
	start := d.source(at)
	if at == 0 {
		return start
	}
	from := d.source(at - 1)
	if raw[from] == '=' && d.data[at-1] != '=' || bytes.HasPrefix(bytes.ToUpper(raw[from:]), []byte("=3D")) {
		from += 2
	}
	if len(bytes.Trim(raw[from+1:start], " \t")) == 0 {
		return from + 1
	}
	return start
}

// insertBase64 encodes a change of the decoded octets: anew from the group of its
// first octet to the end of the data, in the line length of the part.
func (d decoded) insertBase64(raw []byte, c change, eol string) insertion {
	first := c.start - c.start%3 // regular data: groups hold three octets
	start := d.source(first)
	octets := slices.Concat(d.data[first:c.start], c.data, d.data[c.end:])
	chars := base64.StdEncoding.EncodeToString(octets)
	width := base64Width(raw)
	column := start - 1 - bytes.LastIndexByte(raw[:start], '\n')
	var out []byte
	for len(chars) > 0 {
		if column >= width {
			out, column = append(out, eol...), 0
		}
		n := min(width-column, len(chars))
		out, column, chars = append(out, chars[:n]...), column+n, chars[n:]
	}
	return insertion{start, d.tail, out}
}

// base64Width is the length of the part's own lines: the first of several, at
// most what RFC 2045 allows.
func base64Width(raw []byte) int {
	line, _, found := bytes.Cut(raw, []byte("\n"))
	if width := len(bytes.TrimRight(line, " \t\r")); found && width > 0 && width <= 998 {
		return width
	}
	return 76
}
