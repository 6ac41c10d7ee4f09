package configs

import (
	"cmp"
	"embed"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/careerrelay/careerrelay/rewrite"
)

//go:embed wordings/*.yaml
var shippedWordings embed.FS

// Wordings are the texts of the block by id, such as ja-standard: a language and
// a family. They never change after loading.
type Wordings struct{ byID map[string]rewrite.Wording }

// wordingFile is a file of wordings.
type wordingFile struct {
	Wordings []wordingEntry `yaml:"wordings"`
}

type wordingEntry struct {
	ID       string          `yaml:"id"`
	Language wordingLanguage `yaml:"language"`
	Kind     wordingKind     `yaml:"kind"`
	Text     string          `yaml:"text"`
	HTML     string          `yaml:"html"`
}

type (
	wordingLanguage string
	wordingKind     string
)

func (wordingLanguage) choices() []string { return []string{"ja", "en"} }
func (wordingKind) choices() []string {
	return []string{string(rewrite.Rejection), string(rewrite.Leaver)}
}

func (l *wordingLanguage) parse(text string) error { return choose(l, text) }
func (k *wordingKind) parse(text string) error     { return choose(k, text) }

// ShippedWordings returns the shipped file of one language, ja or en.
func ShippedWordings(language string) ([]byte, error) {
	return shippedWordings.ReadFile("wordings/" + language + ".yaml")
}

// shippedOnce are the shipped wordings, read once per process: they cannot change.
var shippedOnce = sync.OnceValues(func() (Wordings, error) { return LoadWordings(nil) })

// loadWordings is LoadWordings without doing the usual work again.
func loadWordings(files []string) (Wordings, error) {
	if len(files) == 0 {
		return shippedOnce()
	}
	return LoadWordings(files)
}

// LoadWordings reads the shipped wordings and then the files, in order; the same
// id replaces an earlier text. The error is Problems when a file has mistakes.
func LoadWordings(files []string) (Wordings, error) {
	w := Wordings{byID: map[string]rewrite.Wording{}}
	var problems Problems
	for _, language := range (wordingLanguage("")).choices() {
		src, err := ShippedWordings(language)
		if err != nil {
			return Wordings{}, fmt.Errorf("read shipped wordings: %w", err)
		}
		problems = append(problems, w.add("wordings/"+language+".yaml", src)...)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return Wordings{}, fmt.Errorf("read wordings: %w", err)
		}
		problems = append(problems, w.add(file, src)...)
	}
	if len(problems) > 0 {
		return Wordings{}, problems
	}
	return w, nil
}

// add reads one file.
func (w Wordings) add(file string, src []byte) Problems {
	var f wordingFile
	d := decodeYAML(file, src, &f)
	for i, e := range f.Wordings {
		key := fmt.Sprintf("wordings[%d]", i)
		at := d.at[key]
		language, family, found := strings.Cut(e.ID, "-")
		if !found || family == "" || language != string(e.Language) {
			d.add(at, key+".id", fmt.Sprintf("%q does not begin with its language", e.ID), fmt.Sprintf("such as %s-standard", e.Language))
			continue
		}
		one := rewrite.Wording{ID: e.ID, Language: string(e.Language), Kind: rewrite.Kind(e.Kind), Text: e.Text, HTML: e.HTML}
		for _, mistake := range one.Lint() {
			d.add(at, key, e.ID+": "+mistake, "")
		}
		w.byID[e.ID] = one
	}
	return d.problems.inFile(src)
}

// Families are the names that a company may choose, sorted.
func (w Wordings) Families() []string {
	families := map[string]bool{}
	for id, one := range w.byID {
		if one.Kind == rewrite.Rejection {
			_, family, _ := strings.Cut(id, "-")
			families[family] = true
		}
	}
	return slices.Sorted(maps.Keys(families))
}

// leaverFamily is the family for mails to people who leave.
const leaverFamily = "leaver"

// Choose picks the text for a verdict: what its rule asks for, else the family
// of the company, else the standard of the language. ascii is the text for
// charsets that cannot carry the chosen one; nil if it is ASCII itself. ok is
// false if there is no text in that language.
func (w Wordings) Choose(v rewrite.Verdict, family string) (chosen rewrite.Wording, ascii *rewrite.Wording, ok bool) {
	order := []string{v.Wording, family, "standard"}
	if v.Kind == rewrite.Leaver {
		order = []string{v.Wording, leaverFamily}
	}
	chosen, ok = w.first(v.Language, v.Kind, order)
	if fallback, found := w.first("en", v.Kind, order); ok && found && fallback.ID != chosen.ID {
		ascii = &fallback
	}
	return chosen, ascii, ok
}

func (w Wordings) first(language string, kind rewrite.Kind, families []string) (rewrite.Wording, bool) {
	for _, family := range families {
		if one, found := w.byID[language+"-"+family]; found && family != "" && one.Kind == kind {
			return one, true
		}
	}
	return rewrite.Wording{}, false
}

// Block is the text that is inserted into a mail of the company; false if there
// is none in the verdict's language.
func (c *Company) Block(a Agency, v rewrite.Verdict, link, optOut string) (rewrite.Block, bool) {
	chosen, ascii, ok := c.wordings.Choose(v, c.Wording)
	if !ok {
		return rewrite.Block{}, false
	}
	latin := rewrite.Values{Link: link, OptOut: optOut, Company: cmp.Or(c.NameEN, c.Name), Agency: cmp.Or(a.NameEN, a.Name)}
	values := rewrite.Values{Link: link, OptOut: optOut, Company: c.Name, Agency: a.Name}
	if chosen.Language == "en" {
		values = latin
	}
	block := chosen.Render(values, nil)
	if ascii != nil {
		block.ASCII = ascii.Render(latin, nil).Text
	}
	return block, true
}
