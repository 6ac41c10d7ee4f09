package smtp

import "bytes"

// decoder turns the octets of a transfer into a message: it finds the end of
// DATA, takes the dots out, and repairs or refuses bare line ends.
//
// The end is decided on the raw octets first: only CRLF.CRLF ends a message (RFC
// 5321, section 4.1.1.4), whatever else looks like a line end. A bare LF becomes
// CRLF afterwards, so a dot behind it is content, and is stuffed on the way out.
type decoder struct {
	dots bool                   // DATA; false for BDAT, where the length says where the end is
	emit func(run []byte) error // takes decoded octets; not called after it failed
	lf   error                  // what a bare LF means: nil repairs it
	err  error                  // first violation, or what emit said; the end is still looked for
	at   position
}

// position is where in a line the next octet stands.
type position int

const (
	lineStart position = iota // after CRLF, and at the very start
	inLine                    // also after a bare LF
	afterCR                   // the CR was not emitted yet
	afterDot                  // a dot at lineStart, not emitted
	afterDotCR
)

var crlf = []byte("\r\n")

// decode consumes src up to the end of the message, or all of it. It may be
// called with any division of the octets.
func (d *decoder) decode(src []byte) (consumed int, end bool) {
	i := 0
	for i < len(src) {
		switch d.at {
		case lineStart, inLine:
			i += d.lines(src[i:])
		case afterCR:
			i += d.crNext(src[i])
		case afterDot: // RFC 5321, section 4.5.2: a dot with more behind it goes
			if src[i] == '\r' {
				d.at = afterDotCR
				i++
			} else {
				d.at = inLine
			}
		case afterDotCR:
			if src[i] == '\n' {
				d.at = lineStart
				return i + 1, true
			}
			i += d.crNext(src[i])
		}
	}
	return i, false
}

// lines takes whole lines as one run, up to something that needs care.
func (d *decoder) lines(src []byte) int {
	run := 0 // length of the octets that pass as they are
	for run < len(src) {
		if d.dots && d.at == lineStart && src[run] == '.' {
			d.pass(src[:run])
			d.at = afterDot
			return run + 1
		}
		lf := bytes.IndexByte(src[run:], '\n')
		if lf < 0 {
			return d.partialLine(src, run)
		}
		line := src[run : run+lf]
		switch cr := bytes.IndexByte(line, '\r'); {
		case cr >= 0 && cr == lf-1:
			run += lf + 1
			d.at = lineStart
		case cr >= 0:
			d.pass(src[:run+cr])
			d.at = inLine
			d.fail(errBareCR)
			return run + cr + 1
		default:
			d.pass(src[:run+lf])
			d.bareLF()
			return run + lf + 1
		}
	}
	d.pass(src)
	return len(src)
}

// partialLine takes the octets from run on, which hold no LF.
func (d *decoder) partialLine(src []byte, run int) int {
	cr := bytes.IndexByte(src[run:], '\r')
	if cr < 0 {
		d.at = inLine
		d.pass(src)
		return len(src)
	}
	d.pass(src[:run+cr])
	d.at = afterCR
	return run + cr + 1
}

// crNext looks at the octet behind a CR. It consumes only LF and another CR.
func (d *decoder) crNext(c byte) int {
	switch c {
	case '\n':
		d.pass(crlf)
		d.at = lineStart
		return 1
	case '\r':
		d.at = afterCR
		d.fail(errBareCR)
		return 1
	}
	d.at = inLine
	d.fail(errBareCR)
	return 0
}

func (d *decoder) bareLF() {
	d.at = inLine
	if d.lf != nil {
		d.fail(d.lf)
	}
	d.pass(crlf)
}

// finish ends a transfer whose length said where the end is.
func (d *decoder) finish() {
	if d.at == afterCR {
		d.fail(errBareCR)
	}
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) pass(run []byte) {
	if d.err == nil && len(run) > 0 {
		d.err = d.emit(run)
	}
}
