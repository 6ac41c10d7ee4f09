package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// builtin marks the rule files that are part of the program.
const builtin = "builtin:"

// Files are the files that decide what the relay does and are read again on a
// reload: the configuration, and the certificate, authority, rule and wording files it names.
func (c *Config) Files() []string {
	files := []string{c.file}
	for _, p := range []Path{c.TLS.Cert, c.TLS.Key, c.TLS.ClientCA, c.Agency.Webhook.CA} {
		if p != "" {
			files = append(files, c.Path(p))
		}
	}
	for _, company := range c.Companies {
		if company.UpstreamTLS.CA != "" {
			files = append(files, c.Path(company.UpstreamTLS.CA))
		}
		for _, rule := range company.Rules {
			if !strings.HasPrefix(rule, builtin) {
				files = append(files, resolve(filepath.Dir(c.file), rule))
			}
		}
		for _, wording := range company.WordingFiles {
			files = append(files, c.Path(wording))
		}
		for _, k := range company.DKIMKeys {
			if file, ok := k.Key.file(); ok {
				files = append(files, resolve(filepath.Dir(c.file), file))
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// Fingerprint is a hash over the bytes of c's files as they are on disk now. A
// file that cannot be read counts with its error.
func Fingerprint(c *Config) string {
	h := sha256.New()
	for _, file := range c.Files() {
		raw, err := os.ReadFile(file)
		fmt.Fprintf(h, "%q %d %v\n", file, len(raw), err)
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// NeedsRestart names the keys that differ in next and cannot be changed while
// the relay runs.
func (c *Config) NeedsRestart(next *Config) []string {
	var keys []string
	before, after := reflect.ValueOf(*c), reflect.ValueOf(*next)
	for f, v := range before.Fields() {
		key := f.Tag.Get("yaml")
		if key == "" || live[key] {
			continue
		}
		if !reflect.DeepEqual(v.Interface(), after.FieldByIndex(f.Index).Interface()) {
			keys = append(keys, key)
		}
	}
	if !reflect.DeepEqual(c.Agency.Webhook.URL, next.Agency.Webhook.URL) { // the store is opened with an outbox or without
		keys = append(keys, "agency.webhook.url")
	}
	return keys
}

// live are the top-level keys that a reload takes into use.
var live = map[string]bool{"agency": true, "companies": true, "retention": true}
