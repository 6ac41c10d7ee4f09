package dashboard

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is an issuer of OpenID Connect that says who somebody is.
type OIDC struct {
	Name     string // on the button
	Issuer   string // its URL
	ClientID string
	Secret   func() (string, error) // read at each login, so that it can be renewed
	Scopes   []string               // besides openid
	Claim    string                 // of the id token, whose values decide: such as groups
	Roles    []OIDCRole             // the first that fits
	Client   *http.Client           // 10 s for each request
}

// OIDCRole gives everybody with a value of the claim a role.
type OIDCRole struct {
	Value     string
	Role      Role
	Companies []string // none for all
}

// loginTime is how long somebody may take at the issuer, and maxPending how many
// may be there at once.
const (
	loginTime  = 10 * time.Minute
	maxPending = 1000
)

// issuer carries logins through the authorization code flow, with PKCE, state and
// nonce (RFC 6749, section 4.1; RFC 7636; OpenID Connect Core 1.0, section 3.1).
type issuer struct {
	o        OIDC
	callback string
	now      func() time.Time

	mu       sync.Mutex // guards the fields below
	provider *oidc.Provider
	pending  map[[sha256.Size]byte]pendingLogin
}

// pendingLogin is somebody who is at the issuer; known by the hash of a cookie.
type pendingLogin struct {
	state, nonce, verifier string
	until                  time.Time
}

func newIssuer(o OIDC, callback string, now func() time.Time) *issuer {
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	return &issuer{o: o, callback: callback, now: now, pending: map[[sha256.Size]byte]pendingLogin{}}
}

// find asks the issuer for its addresses, once it answers.
func (i *issuer) find(ctx context.Context) (*oidc.Provider, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.provider != nil {
		return i.provider, nil
	}
	// The provider keeps the context for its later requests.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), i.o.Client), i.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	i.provider = p
	return p, nil
}

func (i *issuer) config(p *oidc.Provider) (*oauth2.Config, error) {
	secret, err := i.o.Secret()
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{ClientID: i.o.ClientID, ClientSecret: secret, Endpoint: p.Endpoint(), RedirectURL: i.callback,
		Scopes: append([]string{oidc.ScopeOpenID}, i.o.Scopes...)}, nil
}

// begin returns where to send the browser, and the cookie that it must bring back.
func (i *issuer) begin(ctx context.Context) (to, cookie string, err error) {
	p, err := i.find(ctx)
	if err != nil {
		return "", "", err
	}
	c, err := i.config(p)
	if err != nil {
		return "", "", err
	}
	login := pendingLogin{state: random(), nonce: random(), verifier: oauth2.GenerateVerifier(), until: i.now().Add(loginTime)}
	cookie = random()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.makeRoom()
	i.pending[sha256.Sum256([]byte(cookie))] = login
	return c.AuthCodeURL(login.state, oidc.Nonce(login.nonce), oauth2.S256ChallengeOption(login.verifier)), cookie, nil
}

// makeRoom forgets who took too long, and whoever began first when there are too
// many.
func (i *issuer) makeRoom() {
	var first [sha256.Size]byte
	until := i.now().Add(2 * loginTime)
	for key, one := range i.pending {
		if !i.now().Before(one.until) {
			delete(i.pending, key)
		} else if one.until.Before(until) {
			first, until = key, one.until
		}
	}
	if len(i.pending) >= maxPending {
		delete(i.pending, first)
	}
}

// take returns the login of a cookie; it can be used once.
func (i *issuer) take(cookie string) (pendingLogin, bool) {
	key := sha256.Sum256([]byte(cookie))
	i.mu.Lock()
	defer i.mu.Unlock()
	login, found := i.pending[key]
	delete(i.pending, key)
	return login, found && i.now().Before(login.until)
}

var (
	errNotOurs = errors.New("the answer does not belong to a login that began here")
	errNoRole  = errors.New("the issuer knows the user, but no role fits")
)

// end makes a user of the issuer's answer.
func (i *issuer) end(ctx context.Context, cookie, state, code string) (User, error) {
	login, found := i.take(cookie)
	if !found || subtle.ConstantTimeCompare([]byte(state), []byte(login.state)) != 1 {
		return User{}, errNotOurs
	}
	p, err := i.find(ctx)
	if err != nil {
		return User{}, err
	}
	c, err := i.config(p)
	if err != nil {
		return User{}, err
	}
	ctx = oidc.ClientContext(ctx, i.o.Client)
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(login.verifier))
	if err != nil {
		return User{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: i.o.ClientID, Now: i.now}).Verify(ctx, raw)
	if err != nil {
		return User{}, fmt.Errorf("verify the id token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(login.nonce)) != 1 {
		return User{}, errNotOurs
	}
	return i.user(id)
}

// user reads name and role out of the id token.
func (i *issuer) user(id *oidc.IDToken) (User, error) {
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return User{}, fmt.Errorf("read claims: %w", err)
	}
	var values []string
	switch v := claims[i.o.Claim].(type) {
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				values = append(values, s)
			}
		}
	}
	name, _ := claims["preferred_username"].(string)
	if name == "" {
		name = id.Subject
	}
	for _, r := range i.o.Roles {
		if slices.Contains(values, r.Value) {
			return User{Name: printable(name), Role: r.Role, Companies: r.Companies}, nil
		}
	}
	return User{}, errNoRole
}

// printable is a name from elsewhere as the journal takes it.
func printable(s string) string {
	out := make([]rune, 0, 100)
	for _, r := range s {
		if r >= ' ' && r != 0x7f && len(out) < cap(out) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return "unnamed"
	}
	return string(out)
}

// beginOIDC is a link and no form: browsers hold the redirect of a form against
// form-action, too. It begins nothing but this browser's own login.
func (d *Dashboard) beginOIDC(w http.ResponseWriter, r *http.Request) {
	to, cookie, err := d.oidc.begin(r.Context())
	if err != nil {
		d.o.Logger.Error("login by the issuer failed", slog.Any("err", err))
		d.showLogin(w, r, http.StatusBadGateway, "noissuer")
		return
	}
	d.setCookie(w, "login", cookie, http.SameSiteLaxMode) // the way back comes from another site
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (d *Dashboard) endOIDC(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	cookie := d.cookie(r, "login")
	d.setCookie(w, "login", "", http.SameSiteLaxMode)
	u, err := d.oidc.end(r.Context(), cookie, q.Get("state"), q.Get("code"))
	if err == nil {
		d.admit(w, r, u)
		return
	}
	d.o.Logger.Warn("login by the issuer failed", slog.Any("err", err))
	wrong := "noissuer"
	if errors.Is(err, errNoRole) {
		wrong = "norole"
	}
	d.noteLogin(r.Context(), "unknown", "", "login failed")
	d.showLogin(w, r, http.StatusForbidden, wrong)
}
