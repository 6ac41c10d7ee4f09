package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
)

var update = flag.Bool("update", false, "raise the floors to what is reached now")

// authors are the sets of labelled mails in the repository, each by another author,
// as configs/model.go names them where it has the model trained.
func authors(t *testing.T) []string {
	t.Helper()
	src, err := os.ReadFile("../../configs/model.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(src), "careerrelay train --out model/model.bin ")
	if !ok {
		t.Fatal("configs/model.go does not say how the model is trained")
	}
	line, _, _ = strings.Cut(line, "\n")
	var dirs []string
	for _, dir := range strings.Fields(line) {
		dirs = append(dirs, filepath.Join("../../configs", dir))
	}
	return dirs
}

func newClassroom(t *testing.T) *school {
	t.Helper()
	s, err := newSchool(&terminal{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard}, authors(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestShippedModel: the model in the program is the one that its training command
// makes of the mails in the repository.
func TestShippedModel(t *testing.T) {
	want := newClassroom(t).train("").Append(nil)
	got, err := os.ReadFile("../../configs/model/model.bin")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("configs/model/model.bin is not what the training makes of the mails: go generate ./configs")
	}
}

// TestScores holds the verdicts on every labelled mail to floors that may only
// rise: with the shipped model, and with a model that has not read the author.
func TestScores(t *testing.T) {
	s := newClassroom(t)
	got := map[string]scoreFloor{}
	for _, set := range s.sets {
		for how, rules := range map[string]*rewrite.Rules{"shipped": s.rules, "left out": s.rules.WithModel(s.train(set))} {
			for _, j := range s.decide(set, rules) {
				addFloor(got, how, set, j)
				if j.wrong() {
					t.Log(how, wrongText(j))
				}
			}
		}
	}
	checkFloors(t, filepath.Join("testdata", "floors.tsv"), got)
}

func wrongText(j judged) string {
	var b strings.Builder
	printWrong(&b, j)
	return b.String()
}

// scoreFloor is how many of a group must be found, and how many others may be
// taken for it at most.
type scoreFloor struct{ found, wrong int }

func addFloor(floors map[string]scoreFloor, how, set string, j judged) {
	add := func(key string, found, wrong bool) {
		f := floors[key]
		if found {
			f.found++
		}
		if wrong {
			f.wrong++
		}
		floors[key] = f
	}
	for _, kind := range []rewrite.Kind{rewrite.Rejection, rewrite.Leaver} {
		hit, labelled := j.verdict.Kind == kind, j.label == string(kind)
		group := j.difficulty
		if kind == rewrite.Leaver {
			group = "all"
		}
		add(strings.Join([]string{how, set, string(kind), j.language, group}, "\t"), hit && labelled, hit && !labelled)
	}
}

// checkFloors compares with the file; -update raises its floors and never lowers one.
func checkFloors(t *testing.T, path string, got map[string]scoreFloor) {
	t.Helper()
	floors := readFloors(t, path)
	for key, g := range got {
		floor, known := floors[key]
		switch {
		case *update && known:
			floors[key] = scoreFloor{max(g.found, floor.found), min(g.wrong, floor.wrong)}
		case *update:
			floors[key] = g
		case !known:
			t.Errorf("%q has no floor in %s: run the test with -update", key, path)
		}
	}
	for key, floor := range floors {
		if g := got[key]; g.found < floor.found || g.wrong > floor.wrong {
			t.Errorf("%q: %d found and %d wrong, want at least %d and at most %d", key, g.found, g.wrong, floor.found, floor.wrong)
		}
	}
	if *update {
		writeFloors(t, path, floors)
	}
}

const floorsHead = "model\tset\tkind\tlanguage\tdifficulty\tfound\twrong\n"

func readFloors(t *testing.T, path string) map[string]scoreFloor {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	floors := map[string]scoreFloor{}
	for line := range strings.Lines(strings.TrimPrefix(string(src), floorsHead)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		var floor scoreFloor
		if _, err := fmt.Sscan(strings.Join(f[5:], " "), &floor.found, &floor.wrong); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		floors[strings.Join(f[:5], "\t")] = floor
	}
	return floors
}

func writeFloors(t *testing.T, path string, floors map[string]scoreFloor) {
	t.Helper()
	out := floorsHead
	for _, key := range slices.Sorted(maps.Keys(floors)) {
		out += fmt.Sprintf("%s\t%d\t%d\n", key, floors[key].found, floors[key].wrong)
	}
	if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}
