package configs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
)

// Webhook tells the agency of candidates who registered, corrected, withdrew or
// had their data erased. Candidates' data are sent there and nowhere else.
type Webhook struct {
	// Address that is told, by https; http is taken for this machine alone. Adding, changing or removing it needs a restart.
	URL URL `yaml:"url"`
	// Secret that signs the messages (Standard Webhooks): the name of a file that holds it, or env:NAME. "whsec_" and base64, or
	// at least 24 characters. It is read anew for each message.
	Secret Secret `yaml:"secret"`
	// The secret before, while the agency changes to the new one: messages are signed with both.
	OldSecret Secret `yaml:"old_secret"`
	// File with the authorities whose certificates are believed, PEM; without it those of the system.
	CA Path `yaml:"ca"`
}

// APIToken lets a program of the agency use the API.
type APIToken struct {
	// Whose it is, for the journal.
	Name string `yaml:"name" jsonschema:"required"`
	// SHA-256 of the token, as "careerrelay token" prints it.
	SHA256 TokenHash `yaml:"sha256" jsonschema:"required"`
}

// TokenHash is the SHA-256 of a bearer token in 64 hexadecimal digits.
type TokenHash string

var tokenHashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (h *TokenHash) parse(text string) error {
	if !tokenHashForm.MatchString(text) {
		return hinted(`make a token with "careerrelay token": the hash goes here, the token to the agency`, "is not a SHA-256 in 64 hexadecimal digits")
	}
	*h = TokenHash(text)
	return nil
}

// minWebhookSecret is the least length of a secret in octets, as Standard
// Webhooks asks.
const minWebhookSecret = 24

// Keys are the secrets that sign messages, the current one first.
func (w Webhook) Keys() ([][]byte, error) {
	var keys [][]byte
	for _, s := range []Secret{w.Secret, w.OldSecret} {
		if !s.Set() {
			continue
		}
		key, err := webhookKey(s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func webhookKey(s Secret) ([]byte, error) {
	text, err := s.Read()
	if err != nil {
		return nil, err
	}
	key := []byte(text)
	if encoded, found := strings.CutPrefix(text, "whsec_"); found {
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("what follows whsec_ is not base64")
		}
	}
	if len(key) < minWebhookSecret {
		return nil, hinted(`"openssl rand -base64 32" makes one`, "webhook secret has %d octets, needs at least %d", len(key), minWebhookSecret)
	}
	return key, nil
}

// handOver checks the ways to the agency.
func (v validation) handOver() {
	a := &v.c.Agency
	v.webhook(&a.Webhook)
	if a.Form.Host != "" && !v.private(a.Form) {
		v.fail("agency.form", "write https://", "candidates would type their data without encryption")
	}
	if a.Form.Host != "" && v.c.Attribution == "first_company" {
		v.fail("agency.form", "write attribution: each", "the relay does not learn the address that first_company compares")
	}
	names := map[string]bool{}
	for i, token := range a.APITokens {
		key := fmt.Sprintf("agency.api_tokens[%d]", i)
		v.want(key+".name", token.Name != "", "say whose it is")
		v.want(key+".sha256", token.SHA256 != "", `make a token with "careerrelay token"`)
		if names[token.Name] {
			v.fail(key+".name", "", "is the name of another token too")
		}
		names[token.Name] = true
	}
	switch {
	case v.c.Listen.Agency != "" && len(a.APITokens) == 0 && !v.lost("agency.api_tokens"):
		v.fail("listen.agency", `add agency.api_tokens; "careerrelay token" makes one`, "nobody may use the API: there is no token")
	case v.c.Listen.Agency == "" && len(a.APITokens) > 0 && !v.broken("listen.agency"):
		v.warn("agency.api_tokens", "add listen.agency", "are of no use: the API is not served")
	case v.c.Listen.Agency == "" && a.Form.Host != "" && !v.broken("listen.agency"):
		v.fail("agency.form", "add listen.agency and agency.api_tokens", "nothing would ever count: the agency reports registrations through the API")
	}
}

func (v validation) webhook(w *Webhook) {
	const key = "agency.webhook"
	if w.URL.Host == "" {
		if w.Secret.Set() || w.OldSecret.Set() || w.CA != "" {
			v.want(key+".url", false, "write the address that the agency gave you")
		}
		return
	}
	if !v.private(w.URL) {
		v.fail(key+".url", "write https://", "candidates' data would be sent without encryption")
	}
	w.Secret.base, w.OldSecret.base = filepath.Dir(v.c.file), filepath.Dir(v.c.file)
	v.want(key+".secret", w.Secret.Set(), `name a file that holds it, or env:NAME; "openssl rand -base64 32" makes one`)
	for name, s := range map[string]Secret{"secret": w.Secret, "old_secret": w.OldSecret} {
		if !s.Set() {
			continue
		}
		if _, err := webhookKey(s); err != nil {
			v.fail(key+"."+name, hintOf(err), "%v", err)
		}
	}
	if _, err := v.c.WebhookRoots(); err != nil && !v.broken(key+".ca") {
		v.fail(key+".ca", "", "%v", err)
	}
}

// private tells whether what goes to u can be read by its receiver alone.
func (v validation) private(u URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}
