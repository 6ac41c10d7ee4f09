package smtp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// StampName is the header field that every message gets on its way through, and
// StampWord what its value begins with: a rule of the mail system that keeps mail
// from coming round again matches them.
const (
	StampName = "X-Career-Relay"
	StampWord = "relayed"
)

// maxPasses is how many valid stamps one message may have; more are a loop.
const maxPasses = 3

// stamper makes and checks the line that tells that a message has been here.
type stamper struct{ key []byte }

// line is the header field for a message of a company.
func (s stamper) line(company, messageID string, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return StampName + ": " + StampWord + "; " + seconds + "; " + s.mac(company, messageID, seconds) + "\r\n"
}

// Stamp is the header line, line end included, for a mail of our own with this
// Message-ID: should a mail system send it through the relay, it stays unedited.
func (p *Proxy) Stamp(company, messageID string) string {
	return p.stamp.line(company, messageID, p.o.Now())
}

// valid tells whether a stamp was made here, for this message and company.
func (s stamper) valid(value, company, messageID string) bool {
	words := strings.Split(value, ";")
	if len(words) != 3 {
		return false
	}
	mac := s.mac(company, messageID, strings.TrimSpace(words[1]))
	return hmac.Equal([]byte(mac), []byte(strings.TrimSpace(words[2])))
}

// mac is keyed over all that must not be exchanged; the texts cannot contain the
// NUL that parts them.
func (s stamper) mac(company, messageID, seconds string) string {
	h := hmac.New(sha256.New, s.key)
	for _, text := range []string{"stamp", company, seconds, messageID} {
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// sort divides stamps found on arrival into our own and the others.
func (s stamper) sort(h *header, company string) (ours int, others []stampField) {
	for _, f := range h.stamps {
		if s.valid(f.value, company, h.messageID) {
			ours++
		} else {
			others = append(others, f)
		}
	}
	return ours, others
}
