package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// How long a form must have been shown, and how long it stays good. People need
// more than two seconds to type an address; machines do not.
const (
	minDwell = 2 * time.Second
	maxDwell = 2 * time.Hour
)

const viewCookie = "view"

// nonces signs forms: a form is good for one token, one browser (by a cookie of
// the same site) and one stretch of time. Nothing is kept on the server.
type nonces struct {
	secret []byte
	now    func() time.Time
}

// What a nonce is good for. One that was made for one purpose serves no other.
const (
	forForm = "form" // a form that anyone with the link may send
	forData = "data" // given only to a visitor who typed the right address
)

// issue returns a nonce, and sets the cookie unless the browser has one: forms
// in two tabs of one browser must not spoil each other.
func (n *nonces) issue(w http.ResponseWriter, r *http.Request, t store.Token, purpose string, secure bool) string {
	if c, err := r.Cookie(viewCookie); err == nil && len(c.Value) == len(rand.Text()) {
		return n.sign(t, purpose, c.Value, n.now())
	}
	cookie := rand.Text()
	http.SetCookie(w, &http.Cookie{Name: viewCookie, Value: cookie, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode})
	return n.sign(t, purpose, cookie, n.now())
}

func (n *nonces) sign(t store.Token, purpose, cookie string, at time.Time) string {
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(at.UnixMilli()))
	mac := hmac.New(sha256.New, n.secret)
	mac.Write(stamp[:])
	mac.Write([]byte(purpose + "\x00" + string(t) + "\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(append(stamp[:], mac.Sum(nil)...))
}

// formState is what a nonce says about its form.
type formState string

const (
	formGood  formState = ""
	formStale formState = "stale"   // too old, or not from this browser: show the form again
	formFast  formState = "toofast" // sent faster than a person reads
)

// check judges the nonce that came with a form.
func (n *nonces) check(r *http.Request, t store.Token, purpose string) formState {
	raw, err := base64.RawURLEncoding.DecodeString(r.PostFormValue("nonce"))
	cookie, cookieErr := r.Cookie(viewCookie)
	if err != nil || cookieErr != nil || len(raw) != 8+sha256.Size {
		return formStale
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(raw)))
	if !hmac.Equal([]byte(n.sign(t, purpose, cookie.Value, at)), []byte(r.PostFormValue("nonce"))) {
		return formStale
	}
	switch shown := n.now().Sub(at); {
	case shown < minDwell && purpose == forForm:
		return formFast
	case shown > maxDwell:
		return formStale
	}
	return formGood
}
