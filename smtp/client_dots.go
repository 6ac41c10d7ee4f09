package smtp

import (
	"bytes"
	"io"
)

// dotWriter writes a message for DATA: a dot at the start of a line is doubled
// (RFC 5321, section 4.5.2), and nothing else is altered. It gathers octets in
// buf and writes only full buffers, so the end of a message is still in our
// hands when finish is called: what was not finished has no final dot.
type dotWriter struct {
	w    io.Writer
	buf  []byte // cap is the size of one write
	last byte   // last octet of the message so far; '\n' before the first
	n    int64  // octets of the message
}

func newDotWriter(w io.Writer, buf []byte) *dotWriter {
	return &dotWriter{w: w, buf: buf[:0], last: '\n'}
}

// Write takes octets of the message. A CR or LF that is not part of CRLF ends
// the transfer with errBareNewline before any octet of p is written: a server
// could see the end of the message in it.
func (d *dotWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	dots, ok := d.inspect(p)
	if !ok {
		return 0, errBareNewline
	}
	rest := p
	if d.last == '\n' && p[0] == '.' {
		if err := d.put(dot); err != nil {
			return 0, err
		}
	}
	for dots {
		at := bytes.Index(rest, lineWithDot)
		if at < 0 {
			break
		}
		if err := d.put(rest[:at+1]); err != nil {
			return 0, err
		}
		if err := d.put(dot); err != nil {
			return 0, err
		}
		rest = rest[at+1:]
	}
	if err := d.put(rest); err != nil {
		return 0, err
	}
	d.last = p[len(p)-1]
	d.n += int64(len(p))
	return len(p), nil
}

var dot, lineWithDot = []byte("."), []byte("\n.")

// inspect tells whether every line end in p is CRLF, and whether a line that
// begins in p begins with a dot. As every LF follows a CR, there is a CR without LF
// exactly if there are more CRs than LFs.
func (d *dotWriter) inspect(p []byte) (dots, ok bool) {
	crs := bytes.Count(p, []byte{'\r'})
	if d.last == '\r' {
		crs++
	}
	if p[len(p)-1] == '\r' {
		crs--
	}
	before := d.last
	for from := 0; from < len(p); {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			break
		}
		at := from + i
		if at > 0 {
			before = p[at-1]
		}
		if before != '\r' {
			return false, false
		}
		dots = dots || at+1 < len(p) && p[at+1] == '.'
		crs--
		from = at + 1
	}
	return dots, crs == 0
}

// put gathers octets and writes each full buffer. There is always room for the
// end.
func (d *dotWriter) put(p []byte) error {
	full := cap(d.buf) - len("\r\n.\r\n")
	for len(p) > 0 {
		if len(d.buf) == full {
			if err := d.flush(); err != nil {
				return err
			}
		}
		n := copy(d.buf[len(d.buf):full], p)
		d.buf = d.buf[:len(d.buf)+n]
		p = p[n:]
	}
	return nil
}

func (d *dotWriter) flush() error {
	_, err := d.w.Write(d.buf)
	d.buf = d.buf[:0]
	return err
}

// end adds the final dot to the octets that were not written yet, after a CRLF if the
// message lacks its last one, and returns them: whoever writes them ends the message.
// A message whose last octet is CR has no end.
func (d *dotWriter) end() ([]byte, error) {
	if d.last == '\r' {
		return nil, errBareNewline
	}
	if d.last != '\n' {
		d.buf = append(d.buf, '\r', '\n')
	}
	return append(d.buf, ".\r\n"...), nil
}
