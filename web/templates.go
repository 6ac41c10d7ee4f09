package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed texts/*.json consent/*.txt
var textFiles embed.FS

//go:embed style.css
var styleSheet []byte

// consentVersion names the current consent texts. A text is never changed: a new
// wording gets a new file and a new version, and the old one stays.
const consentVersion = "1"

// consentText is the text a candidate agrees to, as shown.
type consentText struct {
	ID     string // such as optin-ja-1
	SHA256 string // hex, of Body
	Body   string
}

// templates holds the pages, the texts and the consent of one configuration.
type templates struct {
	agency   Agency
	pages    map[string]*template.Template
	texts    map[string]map[string]string // language, key
	consents map[string]consentText
}

// page is what a template sees.
type page struct {
	Lang, Company, Path, Host, Why, Token string
	Nonce, View                           string
	Form                                  Form
	Wrong                                 []string
	Referral                              store.Referral
	Retained                              time.Duration
	Until                                 time.Time
	Agency                                Agency
	Consent                               consentText
}

func loadTemplates(agency Agency) (*templates, error) {
	t := &templates{agency: agency, pages: map[string]*template.Template{}, texts: map[string]map[string]string{}, consents: map[string]consentText{}}
	for _, lang := range []string{"ja", "en"} {
		b, err := fs.ReadFile(textFiles, "texts/"+lang+".json")
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		if err := json.Unmarshal(b, &texts); err != nil {
			return nil, fmt.Errorf("texts/%s.json: %w", lang, err)
		}
		t.texts[lang] = texts
		if t.consents[lang], err = loadConsent(lang, agency); err != nil {
			return nil, err
		}
	}
	return t, t.parse()
}

func loadConsent(lang string, agency Agency) (consentText, error) {
	id := "optin-" + lang + "-" + consentVersion
	source, err := texttemplate.ParseFS(textFiles, "consent/"+id+".txt")
	if err != nil {
		return consentText{}, err
	}
	var body bytes.Buffer
	if err := source.Execute(&body, agency); err != nil {
		return consentText{}, err
	}
	sum := sha256.Sum256(body.Bytes())
	return consentText{ID: id, SHA256: hex.EncodeToString(sum[:]), Body: body.String()}, nil
}

// parse reads every page with the layout around it.
func (t *templates) parse() error {
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		short := strings.TrimSuffix(strings.TrimPrefix(name, "pages/"), ".html")
		if short == "layout" {
			continue
		}
		t.pages[short], err = template.New("layout.html").Funcs(t.functions("ja")).ParseFS(pageFiles, "pages/layout.html", name)
		if err != nil {
			return err
		}
	}
	return nil
}

// functions are what the pages use besides their values.
func (t *templates) functions(lang string) template.FuncMap {
	return template.FuncMap{
		"t":     func(key string) (string, error) { return t.text(lang, key) },
		"wrong": func(p page, name string) bool { return slices.Contains(p.Wrong, name) },
		"date": func(at time.Time) string {
			if lang == "ja" {
				return at.Format("2006年1月2日")
			}
			return at.Format("2 January 2006")
		},
		"days":       func(d time.Duration) int { return int(d.Hours() / 24) },
		"paragraphs": func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n\n") },
		"choices": func(name string) []string {
			return map[string][]string{"contact": contacts, "frequency": frequencies, "field": fields, "place": places, "when": times}[name]
		},
		"other": func() string {
			if lang == "ja" {
				return "en"
			}
			return "ja"
		},
	}
}

func (t *templates) text(lang, key string) (string, error) {
	s, ok := t.texts[lang][key]
	if !ok {
		return "", fmt.Errorf("text %q is missing in %s", key, lang)
	}
	return s, nil
}

// render makes the whole page before a byte of it is sent.
func (t *templates) render(name string, p page) ([]byte, error) {
	p.Agency, p.Consent = t.agency, t.consents[p.Lang]
	clone, err := t.pages[name].Clone()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = clone.Funcs(t.functions(p.Lang)).Execute(&b, p)
	return b.Bytes(), err
}
