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

//go:embed texts/*.json consent/*.txt pages/*.txt
var textFiles embed.FS

//go:embed style.css
var styleSheet []byte

// stylePath names the style sheet by its content: it can be kept for ever.
var stylePath = func() string {
	sum := sha256.Sum256(styleSheet)
	return "/style-" + hex.EncodeToString(sum[:6]) + ".css"
}()

// consentVersions name the current consent texts: optin for candidates, leaver
// for people who leave, form for the agency's own form. A text is never changed: a
// new wording gets a new file and a new version, and the old one stays.
var consentVersions = map[string]string{"optin": "2", "leaver": "1", "form": "1"}

// consentText is the text a candidate agrees to, as shown.
type consentText struct {
	ID     string // such as optin-ja-1
	SHA256 string // hex, of Body
	Body   string
}

// templates holds the pages, the texts and the consent of one configuration.
type templates struct {
	agency   Agency
	pages    map[string]map[string]*template.Template // language, page
	plain    map[string]*texttemplate.Template        // language
	texts    map[string]map[string]string             // language, key
	consents map[string]consentText                   // family and language: the current text
	agreed   map[string]consentText                   // id: every text
}

// page is what a template sees.
type page struct {
	Lang, Company, Host, Why string
	Path                     string // of the referral, in the visitor's language
	Static                   string // of the company's link
	Root                     string // "", "/ja" or "/en"
	Switch                   string // this page's path without Root
	Style                    string // path of the style sheet
	Nonce, View, Code        string
	Form                     Form
	Wrong                    []string // fields and reasons, in the order of the page
	Saved                    bool
	CanSee, CanMail          bool   // what is configured
	Tells                    bool   // the agency is told of corrections
	FormHost                 string // of the agency's own form
	Days                     int    // a link's life
	Referral                 store.Referral
	Letter                   letter
	At                       time.Time
	Agency                   Agency
	Consent                  consentText  // the current text
	Agreed                   *consentText // the text that was agreed to
}

// Key names the text for the programme that the page belongs to.
func (p page) Key(key string) string {
	if p.Referral.Kind == store.KindLeaver {
		return key + "_leaver"
	}
	return key
}

func loadTemplates(agency Agency) (*templates, error) {
	t := &templates{agency: agency, pages: map[string]map[string]*template.Template{},
		plain: map[string]*texttemplate.Template{}, texts: map[string]map[string]string{}, consents: map[string]consentText{}, agreed: map[string]consentText{}}
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
		if err := t.parse(lang); err != nil {
			return nil, err
		}
	}
	return t, t.loadConsents()
}

// loadConsents reads every text there ever was, so that an old receipt still
// shows its words.
func (t *templates) loadConsents() error {
	names, err := fs.Glob(textFiles, "consent/*.txt")
	if err != nil {
		return err
	}
	for _, name := range names {
		id := strings.TrimSuffix(strings.TrimPrefix(name, "consent/"), ".txt")
		if t.agreed[id], err = loadConsent(id, t.agency); err != nil {
			return err
		}
	}
	for family, version := range consentVersions {
		for _, lang := range []string{"ja", "en"} {
			t.consents[family+"-"+lang] = t.agreed[family+"-"+lang+"-"+version]
		}
	}
	return nil
}

func loadConsent(id string, agency Agency) (consentText, error) {
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

// parse reads every page with the layout around it, once for each language, and
// the plain texts.
func (t *templates) parse(lang string) error {
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return err
	}
	t.pages[lang] = map[string]*template.Template{}
	for _, name := range names {
		short := strings.TrimSuffix(strings.TrimPrefix(name, "pages/"), ".html")
		files := []string{"pages/layout.html", "pages/fields.html", name}
		switch short {
		case "layout", "fields":
			continue
		case "mail":
			files = []string{name}
		}
		t.pages[lang][short], err = template.New(files[0][len("pages/"):]).Funcs(t.functions(lang)).ParseFS(pageFiles, files...)
		if err != nil {
			return err
		}
	}
	t.plain[lang], err = texttemplate.New("").Funcs(texttemplate.FuncMap(t.functions(lang))).ParseFS(textFiles, "pages/*.txt")
	return err
}

// functions are what the pages use besides their values.
func (t *templates) functions(lang string) template.FuncMap {
	other := map[string]string{"ja": "en", "en": "ja"}[lang]
	return template.FuncMap{
		"t":          func(key string) (string, error) { return t.text(lang, key) },
		"wrong":      func(p page, name string) bool { return slices.Contains(p.Wrong, name) },
		"field":      func(name string) string { return fieldOf[name] },
		"date":       func(at time.Time) string { return at.In(japan).Format(dateForms[lang]) },
		"paragraphs": func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n\n") },
		"choices":    func(name string) []string { return choices[name] },
		"other":      func() string { return other },
		"web":        func(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") },
		"mailbox":    validMail,
		"control": func(p page, name, kind, autocomplete string, required bool) control {
			return control{p, name, kind, autocomplete, required}
		},
	}
}

// control is one field of a form as the template sees it.
type control struct {
	Page                     page
	Name, Kind, Autocomplete string
	Required                 bool
}

// Value is what was typed.
func (c control) Value() string { return c.Page.Form.Text(c.Name) }

// Wrong is the key of the field's error text, or "".
func (c control) Wrong() string {
	for _, reason := range c.Page.Wrong {
		if reason == c.Name || fieldOf[reason] == c.Name {
			return reason
		}
	}
	return ""
}

// fieldOf names the field that a reason speaks of, where the summary of errors
// can lead to one.
var fieldOf = map[string]string{
	"family_name": "family_name", "given_name": "given_name", "kana": "kana", "mail": "mail", "othermail": "mail",
	"nomatch": "mail", "ownmail": "mail", "phone": "phone", "contact": "contact", "frequency": "frequency", "field": "field",
	"place": "place", "when": "when", "adult": "adult", "hand_over": "hand_over", "wishes": "wishes",
	"strengths": "strengths", "learn": "learn", "sure": "sure",
}

// Dates are shown in Japan's time, which is where the candidates and the law are.
var (
	japan     = time.FixedZone("JST", 9*60*60)
	dateForms = map[string]string{"ja": "2006年1月2日 15時04分", "en": "2 January 2006, 15:04 (Japan time)"}
)

func (t *templates) text(lang, key string) (string, error) {
	s, ok := t.texts[lang][key]
	if !ok {
		return "", fmt.Errorf("text %q is missing in %s", key, lang)
	}
	return s, nil
}

// render makes the whole page before a byte of it is sent.
func (t *templates) render(name string, p page) ([]byte, error) {
	p.Agency = t.agency
	var b bytes.Buffer
	err := t.pages[p.Lang][name].Execute(&b, p)
	return b.Bytes(), err
}

// renderText makes the text part of a mail.
func (t *templates) renderText(p page) (string, error) {
	p.Agency = t.agency
	var b strings.Builder
	err := t.plain[p.Lang].ExecuteTemplate(&b, "mail.txt", p)
	return b.String(), err
}

// exportText makes the readable form of a candidate's own data.
func (t *templates) exportText(lang string, d ownData) ([]byte, error) {
	var b bytes.Buffer
	err := t.plain[lang].ExecuteTemplate(&b, "export.txt", d)
	return b.Bytes(), err
}
