package smtp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// TokenSource fetches access tokens with the client-credentials flow (RFC 6749,
// section 4.4) and keeps each until shortly before its end. Safe for concurrent use.
type TokenSource struct {
	URL      string // token end point, https
	ClientID string
	Secret   Password
	Scope    string           // "https://outlook.office365.com/.default"
	Client   *http.Client     // nil: one with a timeout of 15 s
	Now      func() time.Time // nil: time.Now

	mu      sync.Mutex // guards the fields below, and lets one fetch at a time
	token   string
	expires time.Time
	fresh   bool // token was fetched and not yet used by another login
}

// Ends of a token: it is renewed earlyRenewal before, and lives tokenLife if the
// server does not say (RFC 6749, section 5.1: expires_in is recommended only).
const (
	earlyRenewal = time.Minute
	tokenLife    = 5 * time.Minute
)

// Token returns a token that is good for a minute or more.
func (s *TokenSource) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.Now != nil {
		now = s.Now()
	}
	if s.token != "" && now.Before(s.expires.Add(-earlyRenewal)) {
		s.fresh = false
		return s.token, nil
	}
	token, life, err := s.fetch(ctx)
	if err != nil {
		return "", fmt.Errorf("fetch access token: %w", err)
	}
	s.token, s.expires, s.fresh = token, now.Add(life), true
	return token, nil
}

// forget drops a token that was refused. It tells whether another may help: not
// if this one had just been fetched.
func (s *TokenSource) forget() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = ""
	return !s.fresh
}

func (s *TokenSource) fetch(ctx context.Context) (token string, life time.Duration, err error) {
	secret, err := s.Secret()
	if err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.ClientID}, "client_secret": {secret}}
	if s.Scope != "" {
		form.Set("scope", s.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	client := http.Client{Timeout: 15 * time.Second}
	if s.Client != nil {
		client = *s.Client
	}
	// A redirect would carry the secret to another place.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	return readToken(resp)
}

// readToken reads the answer of the token end point (RFC 6749, section 5).
func readToken(resp *http.Response) (string, time.Duration, error) {
	var answer struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
		Error       string      `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", 0, fmt.Errorf("status %d, no JSON answer", resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK || answer.Error != "" {
		return "", 0, fmt.Errorf("status %d, error %q", resp.StatusCode, answer.Error)
	}
	if answer.AccessToken == "" || strings.ContainsAny(answer.AccessToken, "\x00\x01\r\n ") {
		return "", 0, errors.New("answer holds no token")
	}
	life := tokenLife
	if n, err := answer.ExpiresIn.Int64(); err == nil && n > 0 {
		life = time.Duration(n) * time.Second
	}
	return answer.AccessToken, life, nil
}
