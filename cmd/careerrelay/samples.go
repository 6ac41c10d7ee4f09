package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// specimen is one labelled mail.
type specimen struct {
	labelled
	raw []byte
}

// shortMail is a mail of a YAML list: only what speaks.
type shortMail struct {
	Label      string `yaml:"label"`
	Difficulty string `yaml:"difficulty"`
	Kind       string `yaml:"kind"` // what sort of mail it is, in a few words
	From       string `yaml:"from"` // a company's own if left out
	To         string `yaml:"to"`   // a private person's if left out
	Subject    string `yaml:"subject"`
	Text       string `yaml:"text"`
}

// readSamples reads the mails below dir: those that manifest.tsv files name, and
// those in YAML lists.
func readSamples(dir string) ([]specimen, error) {
	samples, err := readListed(dir)
	rows, missing := readManifests(dir)
	if missing != nil && (!errors.Is(missing, errNoManifest) || len(samples) == 0) {
		err = errors.Join(err, missing)
	}
	for _, row := range rows {
		raw, failed := os.ReadFile(row.path)
		err = errors.Join(err, failed)
		samples = append(samples, specimen{row, raw})
	}
	return samples, err
}

// readListed reads every YAML list of mails at or below dir.
func readListed(dir string) ([]specimen, error) {
	var samples []specimen
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var mails []shortMail
		if err := yaml.Load(src, &mails, yaml.WithKnownFields()); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for i, m := range mails {
			name := fmt.Sprintf("%s#%d", path, i+1)
			samples = append(samples, specimen{labelled{path: name, label: m.Label, difficulty: m.Difficulty, reason: m.Kind}, m.message()})
		}
		return nil
	})
	return samples, err
}

// message writes the mail out. Addresses are those of the sample company and of a
// stranger where the list names none.
func (m shortMail) message() []byte {
	var b bytes.Buffer
	for _, field := range [][2]string{
		{"From", cmp.Or(m.From, "hr@company.example")}, {"To", cmp.Or(m.To, "someone@candidate.example")},
		{"Subject", mime.BEncoding.Encode("utf-8", m.Subject)}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "8bit"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", field[0], field[1])
	}
	b.WriteString("\r\n")
	b.WriteString(strings.ReplaceAll(m.Text, "\n", "\r\n"))
	b.WriteString("\r\n")
	return b.Bytes()
}
