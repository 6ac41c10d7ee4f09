package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Another address than the one the mail went to must prove itself first: a mail
// goes there with a link whose last part is a code. Until that link is used the
// server keeps nothing: the code carries its own proof, and what was typed waits,
// encrypted, in a cookie of the browser that typed it.
const (
	codeLife    = 48 * time.Hour
	codeLen     = 32 // characters of base32
	draftCookie = "draft"
	maxDraft    = 3800 // browsers keep 4096 octets per cookie, name included
)

var codeText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// addresses proves typed addresses and keeps drafts.
type addresses struct {
	code []byte
	box  cipher.AEAD
	now  func() time.Time
}

func newAddresses(secret []byte, now func() time.Time) (*addresses, error) {
	code, err := hkdf.Key(sha256.New, secret, nil, "careerrelay address code 1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive code key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "careerrelay draft 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive draft key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make draft cipher: %w", err)
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make draft cipher: %w", err)
	}
	return &addresses{code: code, box: box, now: now}, nil
}

// make returns the code that proves that the owner of address has read the mail
// about this token: hour of its end (4 octets) and a MAC (16), in base32.
func (a *addresses) make(t store.Token, address string) string {
	return a.sign(t, address, uint32(a.now().Add(codeLife).Unix()/3600))
}

func (a *addresses) sign(t store.Token, address string, hour uint32) string {
	var end [4]byte
	binary.BigEndian.PutUint32(end[:], hour)
	mac := hmac.New(sha256.New, a.code)
	mac.Write(end[:])
	mac.Write([]byte(string(t) + "\x00" + store.Normalize(address)))
	return codeText.EncodeToString(append(end[:], mac.Sum(nil)[:16]...))
}

// proves tells whether code was made for this token and address, and still runs.
func (a *addresses) proves(code string, t store.Token, address string) bool {
	code = strings.ToLower(code)
	raw, err := codeText.DecodeString(code)
	if err != nil || len(raw) != 20 {
		return false
	}
	hour := binary.BigEndian.Uint32(raw)
	return hmac.Equal([]byte(code), []byte(a.sign(t, address, hour))) && a.now().Unix() < int64(hour)*3600
}

// keep puts the form into the browser until the address is proven. A form too
// large for a cookie is not kept: the visitor types it again.
func (a *addresses) keep(w http.ResponseWriter, t store.Token, f Form, secure bool) {
	f.Adult, f.HandOver, f.TellBack, f.JobNews = false, false, false, false // boxes start unticked
	text, err := json.Marshal(f)
	if err != nil {
		return
	}
	nonce := make([]byte, a.box.NonceSize())
	rand.Read(nonce) // never fails (crypto/rand)
	value := base64.RawURLEncoding.EncodeToString(a.box.Seal(nonce, nonce, text, []byte(t)))
	if len(value) > maxDraft {
		return
	}
	// Lax, not Strict: the visitor comes back by a link in a mail.
	http.SetCookie(w, &http.Cookie{Name: draftCookie, Value: value, Path: "/", MaxAge: int(codeLife.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode})
}

// draft is what keep put away for this token, or an empty form.
func (a *addresses) draft(r *http.Request, t store.Token) (f Form) {
	c, err := r.Cookie(draftCookie)
	if err != nil {
		return Form{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(raw) < a.box.NonceSize() {
		return Form{}
	}
	text, err := a.box.Open(nil, raw[:a.box.NonceSize()], raw[a.box.NonceSize():], []byte(t))
	if err != nil || json.Unmarshal(text, &f) != nil {
		return Form{}
	}
	return f
}

// forget removes the draft from the browser.
func (a *addresses) forget(w http.ResponseWriter, secure bool) {
	http.SetCookie(w, &http.Cookie{Name: draftCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode})
}
