package configs

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// DKIMKey is a key that signs edited mail of a domain.
type DKIMKey struct {
	// Domain of the signature (d=), one of domains or below one. Mail from its subdomains is signed in
	// its name too.
	Domain Domain `yaml:"domain" jsonschema:"required"`
	// Selector (s=): the public key is published at SELECTOR._domainkey.DOMAIN.
	Selector Selector `yaml:"selector" jsonschema:"required"`
	// Private key in PEM, RSA of 2048 bits or more, or Ed25519: the name of a file that holds it, or env:NAME.
	Key Secret `yaml:"key" jsonschema:"required"`

	signer crypto.Signer
}

// Signer is the private key.
func (k DKIMKey) Signer() crypto.Signer { return k.signer }

// String keeps the private key out of logs.
func (k DKIMKey) String() string { return string(k.Selector) + "._domainkey." + string(k.Domain) }

// GoString is String, for %#v.
func (k DKIMKey) GoString() string { return k.String() }

// Selector names one of the keys of a domain.
type Selector string

var selectorForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

func (s *Selector) parse(text string) error {
	if lower := strings.ToLower(text); selectorForm.MatchString(lower) {
		*s = Selector(lower)
		return nil
	}
	return hinted("use a-z, 0-9 and -, such as relay2026", "%q is not a selector", text)
}

// minRSA is the least size of an RSA key in bits: RFC 8301, section 3.2, wants
// 1024, and advises 2048.
const minRSA = 2048

// readSigner reads a private key: PKCS #8, or PKCS #1 for RSA.
func readSigner(text string) (crypto.Signer, error) {
	const hint = "make one with: openssl genpkey -algorithm ed25519, or: openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048"
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, hinted(hint, "is not a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, hinted(hint, "is not a private key that can be read: it must be PKCS #8 or PKCS #1, without a password")
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil, hinted(hint, "is an RSA key of %d bits, which is too weak: 2048 are needed", bits)
		}
		return key, nil
	}
	return nil, hinted(hint, "is neither an RSA nor an Ed25519 key")
}

func (v validation) dkim(c *Company, key string) {
	if c.DKIM == "resign" && len(c.DKIMKeys) == 0 && !v.broken(key+".dkim_keys") && !v.lost(key+".dkim_keys") {
		v.fail(key+".dkim", "add dkim_keys: [{domain: …, selector: …, key: …}]", "there is no key to sign with")
	}
	if c.DKIM != "resign" && len(c.DKIMKeys) > 0 && !v.broken(key+".dkim") {
		v.warn(key+".dkim_keys", "set dkim: resign", "are not used: dkim is %s", c.DKIM)
	}
	seen := map[string]int{}
	for i := range c.DKIMKeys {
		k, at := &c.DKIMKeys[i], fmt.Sprintf("%s.dkim_keys[%d]", key, i)
		v.dkimKey(c, k, at)
		name := k.String()
		if first, double := seen[name]; double && k.Domain != "" && k.Selector != "" {
			v.fail(at+".selector", "give each key its own selector", "dkim_keys[%d] has the same selector and domain", first)
		}
		seen[name] = i
	}
	if c.DKIM == "resign" && len(c.DKIMKeys) > 0 {
		v.unsigned(c, key)
	}
}

func (v validation) dkimKey(c *Company, k *DKIMKey, at string) {
	v.want(at+".domain", k.Domain != "", "name the domain that signs, such as "+firstDomain(c))
	v.want(at+".selector", k.Selector != "", "name the selector, such as relay2026: the public key stands at relay2026._domainkey."+firstDomain(c))
	v.want(at+".key", k.Key.Set(), "name the file with the private key, or env:NAME")
	if k.Domain != "" && !within(c.Domains, k.Domain) {
		v.fail(at+".domain", "sign for one of the company's domains", "%q is not among the company's domains", string(k.Domain))
	}
	if !k.Key.Set() {
		return
	}
	k.Key.base = filepath.Dir(v.c.file)
	text, err := k.Key.Read()
	if err == nil {
		k.signer, err = readSigner(text)
	}
	if err != nil {
		v.fail(at+".key", hintOf(err), "%v", err)
	}
}

// unsigned warns of domains whose signed mail finds no key.
func (v validation) unsigned(c *Company, key string) {
	for i, d := range c.Domains {
		covered := false
		for _, k := range c.DKIMKeys {
			covered = covered || within([]Domain{k.Domain}, d)
		}
		if !covered && d != "" {
			v.warn(fmt.Sprintf("%s.domains[%d]", key, i), "add a key to dkim_keys", "has no key: signed mail from %s passes unedited", string(d))
		}
	}
}

// within tells whether d is one of the domains or lies below one.
func within(domains []Domain, d Domain) bool {
	for _, of := range domains {
		if of != "" && (d == of || strings.HasSuffix(string(d), "."+string(of))) {
			return true
		}
	}
	return false
}

func firstDomain(c *Company) string {
	if len(c.Domains) == 0 {
		return "example.co.jp"
	}
	return string(c.Domains[0])
}
