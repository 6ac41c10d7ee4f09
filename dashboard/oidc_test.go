package dashboard

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// idp is an issuer of OpenID Connect that knows one person.
type idp struct {
	t     *testing.T
	web   *httptest.Server
	key   *rsa.PrivateKey
	clock *clock

	mu     sync.Mutex // guards the fields below
	asked  url.Values // of the last authorization
	claims map[string]any
	spoil  func(claims map[string]any)

	published *rsa.PrivateKey // whose public half is shown; nil for key
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	p := &idp{t: t, key: key, claims: map[string]any{"sub": "42", "preferred_username": "tanaka", "groups": []string{"staff", "hr-team"}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.web = httptest.NewServer(mux)
	t.Cleanup(p.web.Close)
	return p
}

// lastAsked is what the last authorization asked for.
func (p *idp) lastAsked() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *idp) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (p *idp) discovery(w http.ResponseWriter, _ *http.Request) {
	p.answer(w, map[string]any{"issuer": p.web.URL, "authorization_endpoint": p.web.URL + "/authorize", "token_endpoint": p.web.URL + "/token",
		"jwks_uri": p.web.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
}

var b64 = base64.RawURLEncoding.EncodeToString

func (p *idp) keys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := p.key
	if p.published != nil {
		key = p.published
	}
	p.answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig",
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
}

// authorize logs the person in without asking.
func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = r.URL.Query()
	to, err := url.Parse(p.asked.Get("redirect_uri"))
	if err != nil || p.asked.Get("response_type") != "code" || p.asked.Get("code_challenge_method") != "S256" || p.asked.Get("nonce") == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	to.RawQuery = url.Values{"state": p.asked["state"], "code": {"the code"}}.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// token gives the id token to whoever has the code, the verifier and the secret.
func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, _ := r.BasicAuth()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if id != "relay" || secret != "s3cret" || r.PostFormValue("code") != "the code" || b64(sum[:]) != p.asked.Get("code_challenge") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := map[string]any{"iss": p.web.URL, "aud": "relay", "nonce": p.asked.Get("nonce"),
		"iat": p.clock.now().Unix(), "exp": p.clock.now().Add(time.Minute).Unix()}
	for key, v := range p.claims {
		claims[key] = v
	}
	if p.spoil != nil {
		p.spoil(claims)
	}
	p.answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": p.sign(claims)})
}

func (p *idp) sign(claims map[string]any) string {
	body, err := json.Marshal(claims)
	must(p.t, err)
	text := b64([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	must(p.t, err)
	return text + "." + b64(sig)
}

// withIDP is a desk whose users come from an issuer alone.
func withIDP(t *testing.T) (*desk, *idp) {
	p := newIDP(t)
	d := newDesk(t, func(o *Options) {
		o.Users = nil
		o.OIDC = &OIDC{Name: "社内ログイン", Issuer: p.web.URL, ClientID: "relay", Secret: func() (string, error) { return "s3cret", nil },
			Scopes: []string{"profile"}, Claim: "groups", Roles: []OIDCRole{{Value: "hr-team", Role: HR, Companies: []string{"c"}}, {Value: "staff", Role: IT}}}
	})
	p.clock = d.clock
	return d, p
}

func TestOIDC(t *testing.T) {
	d, p := withIDP(t)
	v := d.visitor()
	page := v.get("/admin/login")
	page.want(t, http.StatusOK, "社内ログイン", "/admin/login/oidc")
	if strings.Contains(page.body, "password") {
		t.Error("a password is asked for, though nobody has one")
	}
	a := v.get("/admin/login/oidc")
	a.want(t, http.StatusOK, "tanaka", "人事")
	if a.path != "/admin/funnel" || p.lastAsked().Get("scope") != "openid profile" {
		t.Errorf("at %s with %v", a.path, p.lastAsked())
	}
	v.get("/admin/funnel?company=other").want(t, http.StatusForbidden)
	if !slices.Contains(d.actions(), "tanaka login") {
		t.Errorf("journal: %q", d.actions())
	}
}

// TestOIDCRefuses: an answer that is not ours, or not right, opens nothing.
func TestOIDCRefuses(t *testing.T) {
	for name, spoil := range map[string]func(map[string]any){
		"another nonce":    func(c map[string]any) { c["nonce"] = "x" },
		"another audience": func(c map[string]any) { c["aud"] = "other" },
		"another issuer":   func(c map[string]any) { c["iss"] = "https://evil.example" },
		"expired":          func(c map[string]any) { c["exp"] = 1 },
		"no role":          func(c map[string]any) { c["groups"] = []string{"guests"} },
		"no groups":        func(c map[string]any) { delete(c, "groups") },
	} {
		t.Run(name, func(t *testing.T) {
			d, p := withIDP(t)
			p.spoil = spoil
			v := d.visitor()
			v.get("/admin/login/oidc").want(t, http.StatusForbidden)
			if a := v.get("/admin/funnel"); a.path != "/admin/login" {
				t.Errorf("is in: %s", a.path)
			}
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		d, p := withIDP(t)
		d.visitor().get("/admin/login/oidc").want(t, http.StatusOK) // the issuer's key is known now
		forged, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		known := *p.key
		p.mu.Lock()
		p.key, p.published = forged, &known
		p.mu.Unlock()
		d.visitor().get("/admin/login/oidc").want(t, http.StatusForbidden)
	})
	t.Run("another browser's answer", func(t *testing.T) {
		d, _ := withIDP(t)
		thief, victim := d.visitor(), d.visitor()
		thief.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/admin/login/callback") {
				return http.ErrUseLastResponse
			}
			return nil
		}
		r, err := http.NewRequest(http.MethodGet, d.web.URL+"/admin/login/oidc", nil)
		must(t, err)
		resp, err := thief.client.Do(r)
		must(t, err)
		resp.Body.Close()
		to, err := url.Parse(resp.Header.Get("Location"))
		must(t, err)
		if to.Query().Get("code") == "" {
			t.Fatalf("no code in %s", to)
		}
		victim.get(to.RequestURI()).want(t, http.StatusForbidden)
		if a := victim.get("/admin/funnel"); a.path != "/admin/login" {
			t.Error("the victim is logged in as the thief")
		}
	})
	t.Run("twice and late", func(t *testing.T) {
		d, p := withIDP(t)
		v := d.visitor()
		v.get("/admin/login/oidc")
		v.get("/admin/login/callback?"+url.Values{"state": p.lastAsked()["state"], "code": {"the code"}}.Encode()).want(t, http.StatusForbidden)
		i := d.dash.oidc
		_, cookie, err := i.begin(t.Context())
		must(t, err)
		d.clock.pass(loginTime)
		if _, ok := i.take(cookie); ok {
			t.Error("a login of ten minutes ago is taken")
		}
		for range maxPending + 10 {
			_, _, err := i.begin(t.Context())
			must(t, err)
		}
		if len(i.pending) > maxPending {
			t.Errorf("%d logins are kept", len(i.pending))
		}
	})
}

// TestOIDCAway: an issuer that does not answer is said, and asked again.
func TestOIDCAway(t *testing.T) {
	d, p := withIDP(t)
	url := p.web.URL
	d.dash.oidc.o.Issuer = "http://127.0.0.1:1"
	d.visitor().get("/admin/login/oidc").want(t, http.StatusBadGateway, "ログインを完了できませんでした")
	d.dash.oidc.o.Issuer = url
	d.visitor().get("/admin/login/oidc").want(t, http.StatusOK, "tanaka")
}
