package configs

import (
	"path/filepath"
	"strings"

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

// Compiled are the company's rules, ready for use. Companies with the same list
// share them.
func (c *Company) Compiled() *rewrite.Rules { return c.compiled }
