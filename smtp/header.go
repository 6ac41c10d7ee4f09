package smtp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/careerrelay/careerrelay/rewrite"
)

// header is what the relay itself must know of a message's header, whatever
// package rewrite makes of it: enough to see loops and to name the message.
type header struct {
	messageID string   // value of the first Message-ID field, "" if there is none
	received  int      // Received fields
	clientID  string   // what the client calls the message, from its own Received line
	signed    bool     // a DKIM-Signature or ARC seal covers the body
	from      []string // values of all From fields
	stamps    []stampField
}

// stampField is one X-Career-Relay field found on arrival.
type stampField struct {
	start, end int64 // of the whole field, line end included
	value      string
}

// headerOf reads the header from the start of the message, at most limit bytes.
func headerOf(raw *spool, limit int64) (header, error) {
	limit = min(raw.Size(), limit)
	head := raw.head()
	for size := int64(chunkSize); !hasEnd(head) && int64(len(head)) < limit; size *= 4 {
		head = make([]byte, min(size, limit))
		if _, err := raw.ReadAt(head, 0); err != nil {
			return header{}, err
		}
	}
	return scanHeader(head), nil
}

func hasEnd(head []byte) bool {
	return bytes.HasPrefix(head, crlf) || bytes.Contains(head, []byte("\r\n\r\n"))
}

// scanHeader goes through the fields up to the empty line. It does not mind
// what a field says, and takes any line without a blank in front for a new one.
func scanHeader(head []byte) header {
	var h header
	for at := 0; at < len(head); {
		end := fieldEnd(head, at)
		field := head[at:end]
		if len(bytes.TrimRight(field, "\r\n")) == 0 {
			break
		}
		h.note(field, int64(at))
		at = end
	}
	return h
}

// fieldEnd is the offset behind the field that starts at at, with its folded
// lines.
func fieldEnd(head []byte, at int) int {
	for {
		lf := bytes.IndexByte(head[at:], '\n')
		if lf < 0 {
			return len(head)
		}
		at += lf + 1
		if at == len(head) || head[at] != ' ' && head[at] != '\t' {
			return at
		}
	}
}

func (h *header) note(field []byte, at int64) {
	name, value, found := bytes.Cut(field, []byte(":"))
	if !found {
		return
	}
	switch name = bytes.TrimRight(name, " \t"); {
	case bytes.EqualFold(name, []byte("Received")):
		if h.received++; h.received == 1 {
			h.clientID = receivedID(value)
		}
	case bytes.EqualFold(name, []byte("Message-ID")):
		if h.messageID == "" {
			h.messageID = string(bytes.TrimSpace(value))
		}
	case bytes.EqualFold(name, []byte("From")):
		h.from = append(h.from, string(value))
	case bytes.EqualFold(name, []byte("DKIM-Signature")), bytes.EqualFold(name, []byte("ARC-Message-Signature")):
		h.signed = true
	case bytes.EqualFold(name, []byte(StampName)):
		text := strings.Join(strings.Fields(string(value)), " ")
		h.stamps = append(h.stamps, stampField{at, at + int64(len(field)), text})
	}
}

// receivedID is the name that a server gave the message, from the value of its
// Received field (RFC 5321, section 4.4: "id" and an atom before the date); "" if
// there is none, or if it is not what queues call their messages.
func receivedID(value []byte) string {
	clauses, _, _ := strings.Cut(string(value), ";")
	words := strings.Fields(clauses)
	for i, w := range words[:max(len(words)-1, 0)] {
		if strings.EqualFold(w, "id") && isQueueID(words[i+1]) && strings.ContainsAny(words[i+1], "0123456789") {
			return words[i+1]
		}
	}
	return ""
}

// isQueueID tells whether a word may be logged as the id of a message: short,
// and no address. receivedID wants a digit too: a name has none.
func isQueueID(word string) bool {
	odd := func(r rune) bool { return !isAlnum(r) && r != '-' && r != '.' }
	return word != "" && len(word) <= 64 && strings.IndexFunc(word, odd) < 0
}

// messageKey names the message for a retry: its Message-ID, or a hash of all of
// it.
func (h *header) messageKey(raw *spool) (string, error) {
	if h.messageID != "" {
		return h.messageID, nil
	}
	sum := sha256.New()
	if _, err := raw.WriteTo(sum); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// strip returns the edits that take the given stamps out.
func strip(stamps []stampField) []rewrite.Edit {
	var edits []rewrite.Edit
	for _, f := range stamps {
		edits = append(edits, rewrite.Edit{Start: f.start, End: f.end})
	}
	return edits
}
