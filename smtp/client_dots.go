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

// Write takes octets of the message. A CR or LF that is not part of CRLF ends the transfer with errBareNewline.
func (d *dotWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if d.last == '\r' && p[0] != '\n' {
			return 0, errBareNewline
		}
		if d.last == '\n' && p[0] == '.' {
			if err := d.put([]byte{'.'}); err != nil {
				return 0, err
			}
		}
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			end = len(p)
		}
		if err := d.line(p[:end]); err != nil {
			return 0, err
		}
		p = p[end:]
	}
	d.n += int64(total)
	return total, nil
}

// line takes a line, or a part of one; LF can only be its last octet.
func (d *dotWriter) line(p []byte) error {
	end := len(p)
	if p[end-1] == '\n' {
		if end > 1 && p[end-2] != '\r' || end == 1 && d.last != '\r' {
			return errBareNewline
		}
		end--
	}
	if cr := bytes.IndexByte(p[:end], '\r'); cr >= 0 && cr != end-1 {
		return errBareNewline
	}
	d.last = p[len(p)-1]
	return d.put(p)
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
