package packaging

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -run ^TestThirdParty$ -update .

var update = flag.Bool("update", false, "rewrite THIRD_PARTY.md")

// allowedLicences are those whose terms a program under Apache-2.0 can meet by
// bringing their texts along, each with the words it is known by.
var allowedLicences = []struct{ name, words string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"BSD-3-Clause", "Neither the name of"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
	{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose"},
}

// TestThirdParty keeps THIRD_PARTY.md current: every module that is linked into
// the program, under a licence that we may ship, with its text.
func TestThirdParty(t *testing.T) {
	modules := linkedModules(t)
	var page strings.Builder
	page.WriteString("# Third parties\n\nCareer Relay is under the Apache License 2.0 ([LICENSE](LICENSE)). The program contains the modules below, each under its own licence, and the Go standard library (BSD-3-Clause).\n" +
		"\"go generate ./packaging\" writes this page; a test compares it, and refuses a licence that is not on its list.\n\n| module | licence |\n| --- | --- |\n")
	texts := map[string][]string{} // text to the modules that have it
	var order []string
	for _, m := range modules {
		text, names := licencesOf(t, m.dir)
		fmt.Fprintf(&page, "| `%s` | %s |\n", m.path, strings.Join(names, ", "))
		if texts[text] == nil {
			order = append(order, text)
		}
		texts[text] = append(texts[text], "`"+m.path+"`")
	}
	for _, text := range order {
		fmt.Fprintf(&page, "\n## %s\n\n````text\n%s\n````\n", strings.Join(texts[text], ", "), text)
	}
	if len(modules) < 15 {
		t.Fatalf("found only %d modules", len(modules))
	}
	const file = "../THIRD_PARTY.md"
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if read(t, file) != page.String() {
		t.Errorf("%s is not current: go generate ./packaging", file)
	}
}

type linked struct{ path, dir string }

// linkedModules are the modules of the shipped program, its own and the standard
// library excepted.
func linkedModules(t *testing.T) []linked {
	t.Helper()
	out := command(t, "..", "env", "CGO_ENABLED=0", "GOOS=linux", "go", "list", "-deps",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./cmd/careerrelay")
	var all []linked
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 2 {
			all = append(all, linked{fields[0], fields[1]})
		}
	}
	slices.SortFunc(all, func(a, b linked) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(all)
}

// licencesOf is the licence files of a module, joined, and their names.
func licencesOf(t *testing.T, dir string) (text string, names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		licence := strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING")
		if e.IsDir() || !licence && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		one := strings.TrimSpace(strings.ReplaceAll(read(t, filepath.Join(dir, e.Name())), "\r\n", "\n"))
		texts = append(texts, one)
		if licence {
			names = append(names, licenceName(t, filepath.Join(dir, e.Name()), one))
		}
	}
	if len(names) == 0 {
		t.Errorf("%s has no licence file", dir)
	}
	return strings.Join(texts, "\n\n"), names
}

func licenceName(t *testing.T, file, text string) string {
	t.Helper()
	words := strings.Join(strings.Fields(strings.ReplaceAll(text, ",", " ")), " ")
	for _, l := range allowedLicences {
		if strings.Contains(words, strings.Join(strings.Fields(strings.ReplaceAll(l.words, ",", " ")), " ")) {
			return l.name
		}
	}
	t.Errorf("%s is under no licence of the list: may the program contain it?", file)
	return "unknown"
}
