package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
)

// arrived is a message as it lies in the mailbox, parted where the sender's own
// octets begin. Nothing here uses the relay's own readers: this is the second
// opinion.
type arrived struct {
	whole []byte   // all of it, with CRLF
	top   []string // names of the header fields on top, down to the stamp
	raw   []byte   // what follows, as it was sent but for insertions
}

// arrivedOf parts a mailbox file, in which Postfix ends lines with LF.
func arrivedOf(t *testing.T, file string) arrived {
	t.Helper()
	a := arrived{whole: crlf(file)}
	rest := file
	for {
		line, after, more := strings.Cut(rest, "\n")
		if !more || line == "" {
			t.Fatalf("no X-Career-Relay line on top of:\n%s", file)
		}
		rest = after
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, _, _ := strings.Cut(line, ":")
		if a.top = append(a.top, name); name == "X-Career-Relay" {
			break
		}
	}
	a.raw = crlf(rest)
	return a
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// delivery is what may stand above the sender's own octets: what Postfix writes
// when it delivers and when it receives, then the relay's two lines.
var delivery = regexp.MustCompile(`^Return-Path( X-Original-To)? Delivered-To Received Received X-Career-Relay$`)

// checkTop checks that nothing else stands on top.
func (a arrived) checkTop(t *testing.T) {
	t.Helper()
	if top := strings.Join(a.top, " "); !delivery.MatchString(top) {
		t.Errorf("fields on top: %s; want %s", top, delivery)
	}
}

// section is a stretch of a message with a header and a body.
type section struct{ header, body []byte }

// sections cuts a message at the lines of a boundary; "" leaves it whole.
func sections(raw []byte, boundary string) []section {
	pieces := [][]byte{raw}
	if boundary != "" {
		pieces = bytes.Split(raw, []byte("\r\n--"+boundary))
	}
	var all []section
	for _, piece := range pieces {
		header, body, _ := bytes.Cut(piece, []byte("\r\n\r\n"))
		all = append(all, section{header, body})
	}
	return all
}

// insertions compares the message with what was sent, octet by octet, and brings
// what each section gained. Anything but one contiguous insertion in a section
// fails the test; of base64 the decoded octets are compared, and the encoded
// ones before the insertion.
func (a arrived) insertions(t *testing.T, sent letter, boundary string) []string {
	t.Helper()
	before, after := sections(sent.raw, boundary), sections(a.raw, boundary)
	if len(before) != len(after) {
		t.Fatalf("%d sections arrived, %d were sent:\n%s", len(after), len(before), a.raw)
	}
	var gained []string
	for i := range before {
		if !bytes.Equal(before[i].header, after[i].header) {
			t.Errorf("header %d arrived as %q, was sent as %q", i, after[i].header, before[i].header)
		}
		was, is := before[i].body, after[i].body
		if strings.Contains(string(before[i].header), "base64") {
			was, is = unbase64(t, was), unbase64(t, is)
		}
		text, err := gain(was, is)
		if err != nil {
			t.Errorf("section %d: %v", i, err)
		}
		gained = append(gained, text)
	}
	return gained
}

// gain is the one stretch that after has and before lacks.
func gain(before, after []byte) (string, error) {
	more := len(after) - len(before)
	for at := 0; more >= 0 && at <= len(before); at++ {
		if bytes.Equal(before[:at], after[:at]) && bytes.Equal(before[at:], after[at+more:]) {
			return string(after[at : at+more]), nil
		}
	}
	return "", fmt.Errorf("%q is not %q plus one insertion", after, before)
}

func unbase64(t *testing.T, lines []byte) []byte {
	t.Helper()
	decoded, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(lines, []byte("\r\n"), nil)))
	if err != nil {
		t.Errorf("base64: %v in %q", err, lines)
	}
	return decoded
}

// texts reads the message with the parsers of Go's own library and brings the
// text of each leaf by its media type.
func (a arrived) texts(t *testing.T) map[string]string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(a.raw))
	if err != nil {
		t.Fatalf("read message: %v", err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("read content type: %v", err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return map[string]string{kind: decoded(t, m.Body, m.Header.Get("Content-Transfer-Encoding"), params["charset"])}
	}
	all := map[string]string{}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("read part: %v", err)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatalf("read content type of part: %v", err)
		}
		all[kind] = decoded(t, part, part.Header.Get("Content-Transfer-Encoding"), params["charset"])
	}
}

func decoded(t *testing.T, r io.Reader, encoding, charset string) string {
	t.Helper()
	switch encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	if strings.EqualFold(charset, "iso-2022-jp") {
		r = japanese.ISO2022JP.NewDecoder().Reader(r)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("decode %s, %s: %v", encoding, charset, err)
	}
	return string(text)
}

var linkPattern = regexp.MustCompile(`http://127\.0\.0\.1:\d+(?:/en)?/r/[a-z2-7]{26}\b`)

// link is the candidate's link, or "" for a message without one. All of a
// message's links must be the same.
func (a arrived) link(t *testing.T) string {
	t.Helper()
	found := ""
	for kind, text := range a.texts(t) {
		for _, link := range linkPattern.FindAllString(text, -1) {
			if found != "" && link != found {
				t.Errorf("%s holds %s, another part %s", kind, link, found)
			}
			found = link
		}
	}
	return found
}

// prove runs the command on what was sent and what arrived.
func (a arrived) prove(t *testing.T, sent letter) result {
	t.Helper()
	before, after := filepath.Join(t.TempDir(), "before.eml"), filepath.Join(t.TempDir(), "after.eml")
	for file, raw := range map[string][]byte{before: sent.raw, after: a.whole} {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return asBinary(t, "prove", before, after)
}
