package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// labelled is one line of a manifest.tsv: a mail and what people say it is.
type labelled struct {
	path       string // of the mail
	label      string // rejection, leaver or other
	difficulty string // easy, medium, hard; judgement: careful people differ, not counted
	reason     string
}

var errNoManifest = errors.New("no manifest.tsv with labels at or below")

// readManifests finds each manifest.tsv at or below dir. Columns: file and
// label; difficulty and reason if there are any.
func readManifests(dir string) ([]labelled, error) {
	var all []labelled
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != "manifest.tsv" {
			return err
		}
		rows, err := readManifest(path)
		all = append(all, rows...)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w %s", errNoManifest, dir)
	}
	return all, err
}

// readManifest reads lines of tab-separated fields; nothing is quoted in them.
func readManifest(path string) ([]labelled, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	head := strings.Split(lines[0], "\t")
	if !slices.Contains(head, "file") || !slices.Contains(head, "label") {
		return nil, fmt.Errorf("read %s: the first line must name the columns file and label", path)
	}
	var rows []labelled
	for i, line := range lines[1:] {
		if line == "" {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != len(head) {
			return nil, fmt.Errorf("%s:%d: has %d fields, the first line has %d", path, i+2, len(fields), len(head))
		}
		column := func(name string) string {
			if i := slices.Index(head, name); i >= 0 {
				return fields[i]
			}
			return ""
		}
		rows = append(rows, labelled{
			path: filepath.Join(filepath.Dir(path), column("file")), label: column("label"),
			difficulty: column("difficulty"), reason: column("reason"),
		})
	}
	return rows, nil
}
