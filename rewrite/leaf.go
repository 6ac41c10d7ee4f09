package rewrite

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// leaf is the decoded text of one text part, and the way back to its raw bytes.
type leaf struct {
	part    *Part
	raw     []byte  // the body as it stands in the message
	dec     decoded // without transfer encoding
	charset *charset
	text    mapped // as UTF-8
	// unsure says why the decoding is a guess, which is enough to read and not
	// enough to edit: charset_unknown, charset_mismatch, transfer_encoding, …; or "".
	unsure string
}

// leaf decodes a text part, once.
func (m *Message) leaf(p *Part) (*leaf, error) {
	if l, ok := m.leaves[p]; ok {
		return l, nil
	}
	if p.Body.Len() > 4*m.limits.TextBytes {
		return nil, errTooLong
	}
	raw := make([]byte, p.Body.Len())
	if n, err := m.r.ReadAt(raw, p.Body.Start); n < len(raw) {
		return nil, fmt.Errorf("read text part: %w", err)
	}
	l := &leaf{part: p, raw: raw}
	if err := l.decode(m.limits); err != nil {
		return nil, err
	}
	m.leaves[p] = l
	return l, nil
}

func (l *leaf) decode(limits Limits) error {
	var known bool
	if l.dec, known = decodeTransfer(l.part.Encoding, l.raw); !known {
		l.unsure = "transfer_encoding"
	} else if l.dec.irregular != "" {
		l.unsure = l.dec.irregular
	}
	if int64(len(l.dec.data)) > limits.TextBytes {
		return errTooLong
	}
	fitting := l.chooseCharset()
	if l.charset.family == opaque {
		l.text = mapped{text: l.charset.decode(l.dec.data)}
		l.doubt("charset_unsupported")
		return nil
	}
	if l.text = fitting; l.text.text == "" {
		l.text = l.charset.decodeMapped(l.dec.data)
	}
	return nil
}

// chooseCharset believes the label when the bytes agree with it. Otherwise the
// bytes' own form decides for reading, and the part is not edited: readers that
// believe the label see something else. Where the text had to be decoded for that,
// it is returned.
func (l *leaf) chooseCharset() (fitting mapped) {
	label := l.part.Params["charset"]
	l.charset = lookupCharset(label)
	if label == "" {
		l.charset = lookupCharset("us-ascii")
	}
	switch {
	case l.charset != nil && l.charset.family == iso2022JP:
		fitting = l.charset.decodeMapped(l.dec.data)
		if !strings.ContainsRune(fitting.text, utf8.RuneError) {
			return fitting
		}
	case l.charset != nil && l.charset.fits(l.dec.data):
		return mapped{}
	}
	if l.charset == nil {
		l.doubt("charset_unknown")
	} else {
		l.doubt("charset_mismatch")
	}
	if sniffed := sniffCharset(l.dec.data); sniffed != nil {
		l.charset = sniffed
	} else if l.charset == nil {
		l.charset = lookupCharset("us-ascii")
	}
	return mapped{}
}

func (l *leaf) doubt(why string) {
	if l.unsure == "" {
		l.unsure = why
	}
}

// eol is the line end of the part: CRLF unless its lines end otherwise.
func (l *leaf) eol() string {
	if i := bytes.IndexByte(l.raw, '\n'); i >= 0 && (i == 0 || l.raw[i-1] != '\r') {
		return "\n"
	}
	return "\r\n"
}

// textEOL is the line end inside the decoded text: base64 may carry LF in lines
// whose own ends are CRLF.
func (l *leaf) textEOL() string {
	if l.part.Encoding == "quoted-printable" {
		return l.eol() // a hard line break is the raw line end
	}
	if i := bytes.IndexByte(l.dec.data, '\n'); i >= 0 && (i == 0 || l.dec.data[i-1] != '\r') {
		return "\n"
	}
	if bytes.IndexByte(l.dec.data, '\n') < 0 {
		return l.eol()
	}
	return "\r\n"
}

// sevenBit tells whether the raw body has to stay within seven bits.
func (l *leaf) sevenBit() bool { return l.part.Encoding == "7bit" && isASCII(l.raw) }
