package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// ErrSealed says that a sealed profile cannot be opened: none of the keys made
// it, it was changed, or it belongs to another referral.
var ErrSealed = errors.New("sealed data cannot be opened")

// A sealed box is: version (1 byte, 1) | key id (8) | nonce (12) | AES-256-GCM
// of the text, tag included. Version and key id are authenticated with it.
const (
	sealVersion = 1
	sealKeyID   = 8
	sealHeader  = 1 + sealKeyID
)

// Sealer closes profiles with AES-256-GCM. It seals with its first key and opens
// with any, so that a key is rotated by putting the new one in front, re-sealing
// what is Stale, and dropping the old one. Safe for concurrent use.
type Sealer struct {
	current [sealKeyID]byte
	keys    map[[sealKeyID]byte]cipher.AEAD
}

// NewSealer takes the current key and those still needed for opening, each at
// least 32 bytes from a random source, kept outside the database.
func NewSealer(current []byte, old ...[]byte) (*Sealer, error) {
	s := &Sealer{keys: make(map[[sealKeyID]byte]cipher.AEAD)}
	for i, key := range append([][]byte{current}, old...) {
		if len(key) < 32 {
			return nil, fmt.Errorf("make sealer: key %d has %d bytes, needs at least 32", i+1, len(key))
		}
		id, aead, err := sealKey(key)
		if err != nil {
			return nil, fmt.Errorf("make sealer: key %d: %w", i+1, err)
		}
		if i == 0 {
			s.current = id
		}
		s.keys[id] = aead
	}
	return s, nil
}

// sealKey derives the AES key and the key's public id, which says nothing about
// the key.
func sealKey(key []byte) (id [sealKeyID]byte, aead cipher.AEAD, err error) {
	raw, err := hkdf.Key(sha256.New, key, nil, "careerrelay seal 1", 32)
	if err != nil {
		return id, nil, err
	}
	name, err := hkdf.Key(sha256.New, key, nil, "careerrelay seal key id 1", sealKeyID)
	if err != nil {
		return id, nil, err
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return id, nil, err
	}
	aead, err = cipher.NewGCM(block)
	return [sealKeyID]byte(name), aead, err
}

// Seal closes text for one referral. The id is authenticated but not stored, so
// a sealed profile cannot be moved to another referral.
func (s *Sealer) Seal(referralID string, text []byte) ([]byte, error) {
	aead := s.keys[s.current]
	box := make([]byte, sealHeader+aead.NonceSize(), sealHeader+aead.NonceSize()+len(text)+aead.Overhead())
	box[0] = sealVersion
	copy(box[1:], s.current[:])
	nonce := box[sealHeader:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead.Seal(box, nonce, text, associated(box[:sealHeader], referralID)), nil
}

// Open returns the text of a box that Seal made for the same referral, with any
// of the sealer's keys; otherwise ErrSealed.
func (s *Sealer) Open(referralID string, box []byte) ([]byte, error) {
	if len(box) < sealHeader || box[0] != sealVersion {
		return nil, fmt.Errorf("open profile: unknown form: %w", ErrSealed)
	}
	id := [sealKeyID]byte(box[1:sealHeader])
	aead := s.keys[id]
	if aead == nil {
		return nil, fmt.Errorf("open profile: key %x is not configured: %w", id, ErrSealed)
	}
	if len(box) < sealHeader+aead.NonceSize() {
		return nil, fmt.Errorf("open profile: too short: %w", ErrSealed)
	}
	nonce, sealed := box[sealHeader:sealHeader+aead.NonceSize()], box[sealHeader+aead.NonceSize():]
	text, err := aead.Open(nil, nonce, sealed, associated(box[:sealHeader], referralID))
	if err != nil {
		return nil, fmt.Errorf("open profile: %w", ErrSealed)
	}
	return text, nil
}

// Stale reports whether a box was made with another key than the current one.
func (s *Sealer) Stale(box []byte) bool {
	return len(box) < sealHeader || [sealKeyID]byte(box[1:sealHeader]) != s.current
}

// Reseal returns the box under the current key.
func (s *Sealer) Reseal(referralID string, box []byte) ([]byte, error) {
	text, err := s.Open(referralID, box)
	if err != nil {
		return nil, fmt.Errorf("reseal: %w", err)
	}
	return s.Seal(referralID, text)
}

// String hides the keys.
func (s *Sealer) String() string { return "<secret>" }

// Format hides the keys from every verb of fmt.
func (s *Sealer) Format(f fmt.State, _ rune) { io.WriteString(f, "<secret>") }

// LogValue hides the keys from slog.
func (s *Sealer) LogValue() slog.Value { return slog.StringValue("<secret>") }

func associated(header []byte, referralID string) []byte {
	return append(append(make([]byte, 0, len(header)+len(referralID)), header...), referralID...)
}
