package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/careerrelay/careerrelay/"

// allowedImports is the import order of the packages: what each may import of
// ours, nothing else. Siblings never import each other.
var allowedImports = map[string][]string{
	"packaging":       {},
	"rewrite":         {},
	"store":           {},
	"store/engine":    {"store"},
	"store/bolt":      {"store", "store/engine"},
	"store/postgres":  {"store", "store/engine"},
	"store/storetest": {"store"},

	"store/postgres/postgrestest": {},

	"smtp":            {"rewrite", "store"},
	"smtp/smtptest":   {},
	"web":             {"store"},
	"agency":          {"store"},
	"configs":         {"rewrite"},
	"dashboard":       {"store"},
	"cmd/careerrelay": {"agency", "configs", "dashboard", "rewrite", "smtp", "store", "store/bolt", "store/engine", "store/postgres", "web"},
	"browsertest":     {},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := allowedImports[name]
		if !known {
			t.Errorf("package %s has no place in the import order", name)
		}
		seen[name] = true
		for _, imp := range p.Imports {
			ours, found := strings.CutPrefix(imp, module)
			if found && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s; allowed are %q", name, ours, allowed)
			}
			if imp == "C" {
				t.Errorf("%s uses cgo", name)
			}
		}
	}
	for name := range allowedImports {
		if !seen[name] {
			t.Errorf("package %s is in the import order and does not exist", name)
		}
	}
}

// listPackages asks the go command, so that build tags and generated files count.
func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, p)
	}
}
