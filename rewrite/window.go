package rewrite

import (
	"bytes"
	"errors"
	"io"
)

// windowSize is how much of a message is looked at at a time. A line longer than
// that is no delimiter (boundaries have 70 characters at most).
const windowSize = 64 << 10

// window reads a message forward in large blocks and finds the few lines that
// matter. Bodies are searched, not split into lines: that is what makes an
// attachment cost a memory scan.
type window struct {
	r    io.ReaderAt
	size int64
	at   int64 // offset of the next unread byte
	buf  []byte
	base int64 // offset of buf[0]
}

func newWindow(r io.ReaderAt, size int64) *window {
	return &window{r: r, size: size, buf: make([]byte, 0, min(windowSize, size))}
}

// fill makes buf hold the bytes from offset on, as many as fit.
func (w *window) fill(offset int64) error {
	n := min(int64(windowSize), w.size-offset)
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, 0, n)
	}
	w.base, w.buf = offset, w.buf[:n]
	got, err := w.r.ReadAt(w.buf, offset)
	if int64(got) == n {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// rest is what is loaded from the next unread byte on; it loads more when less
// than a line's worth is there.
func (w *window) rest() ([]byte, error) {
	if w.at < w.base || w.at >= w.base+int64(len(w.buf)) {
		if w.at >= w.size {
			return nil, nil
		}
		if err := w.fill(w.at); err != nil {
			return nil, err
		}
	}
	return w.buf[w.at-w.base:], nil
}

// line reads the next line with its line end, at most about limit bytes of it.
// The slice is good until the next call; it is empty at the end.
func (w *window) line(limit int64) ([]byte, int64, error) {
	start := w.at
	rest, err := w.rest()
	if err != nil || rest == nil {
		return nil, start, err
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		w.at += int64(i + 1)
		return rest[:i+1], start, nil
	}
	var long []byte // a line that crosses the end of the window
	for int64(len(long)) < limit {
		if rest, err = w.rest(); err != nil || rest == nil {
			return long, start, err
		}
		i := bytes.IndexByte(rest, '\n')
		n := len(rest)
		if i >= 0 {
			n = i + 1
		}
		long = append(long, rest[:n]...)
		w.at += int64(n)
		if i >= 0 {
			break
		}
	}
	return long, start, nil
}

// dashLine finds the next line that starts with "--"; nil at the end.
func (w *window) dashLine() ([]byte, int64, error) {
	if w.at > 0 && w.atLineStart() {
		if line, start, err := w.dashHere(); line != nil || err != nil {
			return line, start, err
		}
	}
	for {
		rest, err := w.rest()
		if err != nil || rest == nil {
			return nil, 0, err
		}
		i := bytes.Index(rest, []byte("\n--"))
		if i < 0 {
			// Keep two bytes: the pattern may cross the end of the window.
			if step := int64(len(rest) - 2); step > 0 && w.at+int64(len(rest)) < w.size {
				w.at += step
				if err := w.fill(w.at); err != nil {
					return nil, 0, err
				}
				continue
			}
			w.at = w.size
			return nil, 0, nil
		}
		w.at += int64(i + 1)
		if line, start, err := w.dashHere(); line != nil || err != nil {
			return line, start, err
		}
	}
}

// atLineStart tells whether the byte before the next unread one ended a line.
func (w *window) atLineStart() bool {
	var b [1]byte
	if i := w.at - 1 - w.base; i >= 0 && i < int64(len(w.buf)) {
		return w.buf[i] == '\n'
	}
	_, err := w.r.ReadAt(b[:], w.at-1)
	return err == nil && b[0] == '\n'
}

// maxDelimiter bounds a delimiter line: two dashes, a boundary (RFC 2046 allows
// 70 characters; QUIRK: some senders use more), two dashes, padding.
const maxDelimiter = 4096

// dashHere reads the line at the next unread byte if it starts with "--".
func (w *window) dashHere() ([]byte, int64, error) {
	start := w.at
	rest, err := w.rest()
	if err != nil || rest == nil {
		return nil, 0, err
	}
	if len(rest) < maxDelimiter && w.base+int64(len(w.buf)) < w.size {
		if err := w.fill(w.at); err != nil {
			return nil, 0, err
		}
		rest = w.buf
	}
	if !bytes.HasPrefix(rest, []byte("--")) {
		return nil, 0, nil
	}
	i := bytes.IndexByte(rest[:min(len(rest), maxDelimiter)], '\n')
	switch {
	case i >= 0:
		w.at += int64(i + 1)
		return rest[:i+1], start, nil
	case len(rest) < maxDelimiter: // the last line of the message
		w.at += int64(len(rest))
		return rest, start, nil
	}
	w.at += 2 // too long for a delimiter
	return nil, 0, nil
}

// lineEndBefore returns where the line end in front of a delimiter line starts.
func (w *window) lineEndBefore(start int64) int64 {
	var b [2]byte
	n := min(start, 2)
	if n == 0 {
		return start
	}
	if _, err := w.r.ReadAt(b[2-n:], start-n); err != nil || b[1] != '\n' {
		return start
	}
	if n == 2 && b[0] == '\r' {
		return start - 2
	}
	return start - 1
}

// skipAll goes to the end without reading.
func (w *window) skipAll() { w.at = w.size }
