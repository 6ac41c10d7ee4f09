package store

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// MinSecret is the least length of a secret in bytes: as strong as a token.
const MinSecret = 16

// tokenLen is the length of a token: 128 bits in base32 without padding.
const tokenLen = 26

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Token is the secret in a candidate's link: 26 characters of lower-case
// base32, 128 bits. A token is a credential: it prints, logs and marshals as
// <token>. Only string(t) gives its text, and that belongs into a link alone.
type Token string

// ParseToken reads the token of a link. Upper case is accepted, since some mail
// programs and people change it; anything else that is not a token is an error
// that does not repeat the text.
func ParseToken(s string) (Token, error) {
	if len(s) != tokenLen {
		return "", errors.New("parse token: wrong length")
	}
	s = strings.ToLower(s)
	raw, err := base32Lower.DecodeString(s)
	if err != nil || base32Lower.EncodeToString(raw) != s {
		return "", errors.New("parse token: not base32 of 128 bits")
	}
	return Token(s), nil
}

// NewToken returns a random token, for links that are mailed once on request.
func NewToken() Token {
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	return Token(base32Lower.EncodeToString(raw[:]))
}

// Hash is what a store keeps of a token: SHA-256.
func (t Token) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(t)) }

// String hides the token.
func (t Token) String() string { return "<token>" }

// Format hides the token from every verb of fmt, %q, %x and %#v included.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, "<token>") }

// LogValue hides the token from slog.
func (t Token) LogValue() slog.Value { return slog.StringValue("<token>") }

// MarshalText hides the token from JSON, where a JSON log handler would show it
// inside a logged struct.
func (t Token) MarshalText() ([]byte, error) { return []byte("<token>"), nil }

// PersonHash is the keyed hash of a company id and a normalised address, in hex.
type PersonHash string

// Keys derives everything that must be the same on a retry, after a restart and
// on a second node: tokens, person hashes, message keys. It is immutable and
// safe for concurrent use.
//
// Each purpose has its own key, derived from the secret by HKDF (RFC 5869), and
// each input its own length prefix, so that no two different inputs and no two
// purposes can give the same bytes to the MAC.
type Keys struct {
	token, person, key, candidate []byte
}

// NewKeys derives the keys from a secret of at least MinSecret bytes, which must
// come from a random source. Whoever knows the secret can forge every link.
func NewKeys(secret []byte) (*Keys, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("derive keys: secret has %d bytes, needs at least %d", len(secret), MinSecret)
	}
	k := new(Keys)
	for _, p := range []struct {
		to    *[]byte
		label string
	}{
		{&k.token, "careerrelay token 1"},
		{&k.person, "careerrelay person 1"},
		{&k.key, "careerrelay message key 1"},
		{&k.candidate, "careerrelay candidate 1"},
	} {
		derived, err := hkdf.Key(sha256.New, secret, nil, p.label, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive keys: %w", err)
		}
		*p.to = derived
	}
	return k, nil
}

// String hides the keys.
func (k *Keys) String() string { return "<secret>" }

// Format hides the keys from every verb of fmt.
func (k *Keys) Format(f fmt.State, _ rune) { io.WriteString(f, "<secret>") }

// LogValue hides the keys from slog.
func (k *Keys) LogValue() slog.Value { return slog.StringValue("<secret>") }

// Token returns the link token of one message to one person: 128 bits of
// HMAC-SHA256 over company, message key and normalised address. messageKey is
// the Message-ID, or a hash of a message without one.
func (k *Keys) Token(company, messageKey, address string) Token {
	sum := mac(k.token, company, messageKey, Normalize(address))
	return Token(base32Lower.EncodeToString(sum[:16]))
}

// Person returns the hash under which a company's candidate is known. Two
// companies have different hashes of one person, so their records cannot be
// joined.
func (k *Keys) Person(company, address string) PersonHash {
	sum := mac(k.person, company, Normalize(address))
	return PersonHash(hex.EncodeToString(sum[:16]))
}

// Key returns Offer.Key: the same for a retry of one message to one person,
// different for every other message. A Message-ID cannot be read back from it.
func (k *Keys) Key(company, messageKey, address string) string {
	sum := mac(k.key, company, messageKey, Normalize(address))
	return hex.EncodeToString(sum[:16])
}

// Copy returns the key under which the copy of a message for one recipient is
// remembered. path is the recipient as the client wrote it.
func (k *Keys) Copy(company, messageKey, path string) string {
	sum := mac(k.key, "copy", company, messageKey, path)
	return hex.EncodeToString(sum[:16])
}

// Candidate returns a hash of the address alone. It joins a person's records
// across companies, so it is made only where the first_company attribution asks
// for it, at opt-in.
func (k *Keys) Candidate(address string) PersonHash {
	sum := mac(k.candidate, Normalize(address))
	return PersonHash(hex.EncodeToString(sum[:16]))
}

func mac(key []byte, fields ...string) []byte {
	h := hmac.New(sha256.New, key)
	var n [8]byte
	for _, f := range fields {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		io.WriteString(h, f)
	}
	return h.Sum(nil)
}

// Normalize brings an address into the one form that is hashed:
//
//   - surrounding white space goes; full-width characters, which Japanese input
//     methods leave behind, become their narrow forms;
//   - Unicode NFC and lower case, local part included: no mail service in use
//     keeps Taro@ and taro@ apart (RFC 5321, section 2.4, advises against it);
//   - a quoted local part loses quotes it does not need (RFC 5321, section 4.1.2);
//   - the domain becomes its ASCII form (IDNA, RFC 5891) without a final dot.
//
// Nothing else: dots and +tags stay, since only the receiving server knows what
// they mean. Normalize never fails; what is no address is still folded, and
// judging it is the caller's business. Normalize(Normalize(x)) == Normalize(x).
func Normalize(address string) string {
	s := fold(strings.TrimSpace(address))
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	return unquote(s[:at]) + "@" + asciiDomain(s[at+1:])
}

// fold narrows, composes and lower-cases until nothing changes any more: some
// characters lower-case into decomposed ones (İ becomes i and a combining dot).
func fold(s string) string {
	for range 4 {
		next := strings.TrimSpace(norm.NFC.String(strings.ToLower(width.Fold.String(s))))
		if next == s {
			break
		}
		s = next
	}
	return s
}

func asciiDomain(d string) string {
	d = strings.TrimRight(d, ".")
	if a, err := idna.Lookup.ToASCII(d); err == nil {
		return a
	}
	return d // an address literal, an underscore: keep as written
}

// unquote turns "taro" into taro where the content is a dot-atom.
func unquote(local string) string {
	if len(local) < 3 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	inner := local[1 : len(local)-1]
	for _, r := range inner {
		if r <= ' ' || strings.ContainsRune("\"\\()<>[]:;@,\x7f", r) {
			return local
		}
	}
	if inner[0] == '.' || inner[len(inner)-1] == '.' || strings.Contains(inner, "..") {
		return local
	}
	return inner
}
