package rewrite

import (
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v4"
)

// loadWordings reads the shipped wordings; the loader of configs can't be used
// here (configs imports rewrite).
func loadWordings(t testing.TB) map[string]Wording {
	t.Helper()
	files, _ := filepath.Glob("../configs/wordings/*.yaml")
	if len(files) == 0 {
		t.Fatal("no wordings")
	}
	wordings := map[string]Wording{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Wordings []Wording }
		if err := yaml.Load(b, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range file.Wordings {
			wordings[w.ID] = w
		}
	}
	return wordings
}

// testBlock is a rendered block in the language.
func testBlock(t testing.TB, id string) Block {
	w := loadWordings(t)
	ascii := w["en-standard"]
	return w[id].Render(Values{
		Link:    "https://relay.example.net/r/abcdefghijklmnopqrstuvwxyz",
		OptOut:  "https://relay.example.net/r/abcdefghijklmnopqrstuvwxyz/stop",
		Company: "Example Corp.", Agency: "Bridge Agency",
	}, &ascii)
}
