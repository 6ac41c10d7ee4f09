package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestExplainColours: in colour the block and what speaks for the verdict are
// green, what speaks against it red; the words are those of the plain form.
func TestExplainColours(t *testing.T) {
	raw, err := os.ReadFile("demo/2-rejection-html.eml")
	if err != nil {
		t.Fatal(err)
	}
	ins, err := newInspector(&terminal{ctx: t.Context()}, "", "https://relay.example.net")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ins.inspect(raw)
	if err != nil {
		t.Fatal(err)
	}
	e, after, err := explain(f)
	if err != nil {
		t.Fatal(err)
	}
	e.Evidence = append(e.Evidence, evidenceLine{ID: "against", Weight: -2, Text: "contrary"})
	var plain, coloured bytes.Buffer
	e.print(paper{&plain, false}, raw, after)
	e.print(paper{&coloured, true}, raw, after)
	for _, want := range []string{"\x1b[32mhttps://relay.example.net/", "\x1b[1mverdict \x1b[0m", "\x1b[31m -2.0  against\x1b[0m", "\x1b[32m  <- edited\x1b[0m"} {
		if !strings.Contains(coloured.String(), want) {
			t.Errorf("lacks %q in\n%q", want, coloured.String())
		}
	}
	bare := coloured.String()
	for _, style := range []string{bold, green, red, faint, "0"} {
		bare = strings.ReplaceAll(bare, "\x1b["+style+"m", "")
	}
	if bare != plain.String() {
		t.Errorf("without its colours it reads\n%s\nplain\n%s", bare, plain.String())
	}
}

// TestColourful: colours are for a terminal whose user wants them.
func TestColourful(t *testing.T) {
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !colourful(device) || colourful(file) || colourful(&bytes.Buffer{}) {
		t.Errorf("terminal %v, file %v, pipe %v; want true, false, false", colourful(device), colourful(file), colourful(&bytes.Buffer{}))
	}
	t.Setenv("TERM", "dumb")
	if colourful(device) {
		t.Error("colours on a dumb terminal")
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	if colourful(device) {
		t.Error("colours although NO_COLOR is set")
	}
}
