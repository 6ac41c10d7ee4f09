package configs

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/careerrelay/careerrelay/rewrite"
)

// ruleNames are the company's rule files, with relative ones made to start from
// the folder of the configuration.
func (c *Config) ruleNames(company *Company) []string {
	names := make([]string, len(company.Rules))
	for i, name := range company.Rules {
		names[i] = name
		if !strings.HasPrefix(name, builtin) {
			names[i] = resolve(filepath.Dir(c.file), name)
		}
	}
	return names
}

// shippedRules are the shipped rules, compiled and with their examples run once
// per process: they cannot change, and are in nearly every configuration.
var shippedRules = sync.OnceValues(func() (*rewrite.Rules, error) { return LoadRules(BuiltinRules(), "") })

// loadRules is LoadRules without doing the usual work again.
func loadRules(names []string) (*rewrite.Rules, error) {
	if slices.Equal(names, BuiltinRules()) {
		return shippedRules()
	}
	return LoadRules(names, "")
}

// Compiled are the company's rules, ready for use. Companies with the same list
// share them.
func (c *Company) Compiled() *rewrite.Rules { return c.compiled }
