package rewrite

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message"
)

// Field is one header field with its place in the raw message.
type Field struct {
	Name  string // as written
	Value string // raw and unfolded: line ends removed, blanks kept
	Span  Span   // of the whole field, folded lines and its last line end included
}

// scanFields splits a header block into its fields. It is tolerant where mail in
// the wild is: a line without a colon is skipped (QUIRK: "From " lines of mbox
// files and ">From " lines), a continuation of nothing too.
func scanFields(block []byte, at int64) []Field {
	var fields []Field
	for start := 0; start < len(block); {
		end := fieldEnd(block, start)
		line := block[start:end]
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && validName(name) {
			fields = append(fields, Field{
				Name:  string(bytes.TrimRight(name, " \t")),
				Value: unfold(value),
				Span:  Span{at + int64(start), at + int64(end)},
			})
		}
		start = end
	}
	return fields
}

// fieldEnd finds the end of the field that starts at start: the first line end
// that no blank follows.
func fieldEnd(block []byte, start int) int {
	for i := start; ; {
		n := bytes.IndexByte(block[i:], '\n')
		if n < 0 {
			return len(block)
		}
		i += n + 1
		if i >= len(block) || block[i] != ' ' && block[i] != '\t' {
			return i
		}
	}
}

// validName accepts RFC 5322 field names and, QUIRK, blanks before the colon.
func validName(name []byte) bool {
	name = bytes.TrimRight(name, " \t")
	if len(name) == 0 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// unfold removes the line ends of a folded value (RFC 5322, section 2.2.3).
func unfold(value []byte) string {
	value = bytes.TrimSpace(value)
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 {
		return string(value)
	}
	unfolded := make([]byte, 0, len(value))
	for _, c := range value {
		if c != '\r' && c != '\n' {
			unfolded = append(unfolded, c)
		}
	}
	return strings.TrimSpace(string(unfolded))
}

func fieldValues(fields []Field, name string) []string {
	var values []string
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// decodeHeader decodes encoded words (RFC 2047) and raw 8-bit text of a value.
func decodeHeader(value string) string {
	if !utf8.ValidString(value) {
		if cs := sniffCharset([]byte(value)); cs != nil {
			value = cs.decode([]byte(value))
		}
	}
	dec := mime.WordDecoder{CharsetReader: wordReader}
	text, err := dec.DecodeHeader(value)
	if err != nil {
		return value
	}
	return text
}

// describe fills in what the header fields say about the part.
func (p *Part) describe() {
	p.MediaType, p.Params = p.contentType()
	p.Encoding = p.transferEncoding()
	var params map[string]string
	p.Disposition, params = parseParams(first(p.values("Content-Disposition")))
	p.Filename = params["filename"]
	if p.Filename == "" {
		p.Filename = p.Params["name"]
	}
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding"} {
		if len(p.values(name)) > 1 {
			p.Ambiguous = "duplicate_fields"
		}
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// contentType is the media type of the part, with the defaults of RFC 2045,
// section 5.2, and RFC 2046, section 5.1.5.
func (p *Part) contentType() (string, map[string]string) {
	values := p.values("Content-Type")
	value := first(values)
	if value == "" {
		if len(values) > 0 {
			p.Ambiguous = "content_type" // there, and empty
		}
		if p.Parent != nil && p.Parent.MediaType == "multipart/digest" {
			return "message/rfc822", nil
		}
		return "text/plain", nil
	}
	mediaType, params := parseParams(value)
	if !strings.Contains(mediaType, "/") {
		p.Ambiguous = "content_type"
		return "application/octet-stream", params
	}
	return mediaType, params
}

// transferEncoding returns the encoding's name without the decoration that mail
// in the wild puts around it: quotes, comments, a trailing semicolon.
func (p *Part) transferEncoding() string {
	value := strings.ToLower(first(p.values("Content-Transfer-Encoding")))
	if i := strings.IndexAny(value, "(;"); i >= 0 {
		value = value[:i]
	}
	switch value = strings.Trim(value, " \t\""); value {
	case "", "7-bit":
		return "7bit"
	case "8-bit":
		return "8bit"
	}
	return value
}

// parseParams splits a value such as that of Content-Type. Its first try is
// go-message; QUIRK: what that refuses is split by hand, so that one bad
// parameter does not hide the others.
func parseParams(value string) (string, map[string]string) {
	if value == "" {
		return "", nil
	}
	var h message.Header
	h.Set("Content-Type", value)
	if kind, params, err := h.ContentType(); err == nil {
		return strings.ToLower(kind), params
	}
	return splitParams(value)
}

func splitParams(value string) (string, map[string]string) {
	pieces := splitQuoted(stripComments(value), ';')
	params := map[string]string{}
	for _, piece := range pieces[1:] {
		name, v, ok := strings.Cut(piece, "=")
		if !ok {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if _, seen := params[name]; !seen {
			params[name] = unquote(strings.TrimSpace(v))
		}
	}
	return strings.ToLower(strings.TrimSpace(pieces[0])), params
}

// splitQuoted splits at sep outside quoted strings.
func splitQuoted(s string, sep byte) []string {
	var pieces []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			pieces = append(pieces, s[start:i])
			start = i + 1
		}
	}
	return append(pieces, s[start:])
}

// unquote removes the quotes of a quoted string; what follows a bare token goes too.
func unquote(s string) string {
	if !strings.HasPrefix(s, `"`) {
		if i := strings.IndexAny(s, " \t"); i >= 0 {
			s = s[:i]
		}
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// stripComments removes the comments of a structured value (RFC 5322, section
// 3.2.2) outside its quoted strings.
func stripComments(s string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted && i+1 < len(s):
			b.WriteByte(s[i])
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '(' && !quoted:
			i += commentLen(s[i:]) - 1
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// commentLen is the length of the comment that s starts with; comments nest.
// QUIRK: one that is never closed ends before the next semicolon, so that it
// does not hide the parameters behind it.
func commentLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	if i := strings.IndexByte(s, ';'); i >= 0 {
		return i
	}
	return len(s)
}
