package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	xlanguage "golang.org/x/text/language"
)

// pages holds the templates and their texts.
type pages struct {
	by    map[string]map[string]*template.Template // language, page
	texts map[string]map[string]string             // language, key
}

// page is what a template sees.
type page struct {
	Lang, Name  string
	Root, Style string
	User        string
	Role        Role
	CSRF        string
	Nav         []navItem
	Company     Company
	Companies   []Company
	Here        string // address of this page, for the other language
	Done, Wrong string
	At          time.Time
	Data        any
}

type navItem struct {
	Name string
	Here bool
}

func loadPages() (*pages, error) {
	p := &pages{by: map[string]map[string]*template.Template{}, texts: map[string]map[string]string{}}
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, lang := range []string{"ja", "en"} {
		raw, err := files.ReadFile("texts/" + lang + ".json")
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("texts/%s.json: %w", lang, err)
		}
		p.texts[lang], p.by[lang] = texts, map[string]*template.Template{}
		for _, name := range names {
			short := strings.TrimSuffix(strings.TrimPrefix(name, "pages/"), ".html")
			if short == "layout" || short == "parts" {
				continue
			}
			t, err := template.New("layout.html").Funcs(p.functions(lang)).ParseFS(files, "pages/layout.html", "pages/parts.html", name)
			if err != nil {
				return nil, err
			}
			p.by[lang][short] = t
		}
	}
	return p, nil
}

var japan = time.FixedZone("JST", 9*60*60)

// functions are what the pages use besides their values.
func (p *pages) functions(lang string) template.FuncMap {
	other := map[string]string{"ja": "en", "en": "ja"}[lang]
	return template.FuncMap{
		"t":      func(key string) (string, error) { return p.text(lang, key) },
		"has":    func(key string) bool { _, ok := p.texts[lang][key]; return ok },
		"other":  func() string { return other },
		"time":   func(t time.Time) string { return t.In(japan).Format("2006-01-02 15:04") },
		"number": grouped,
		"short": func(hash string) string {
			if len(hash) > 12 {
				return hash[:12] + "…"
			}
			return hash
		},
	}
}

func (p *pages) text(lang, key string) (string, error) {
	text, ok := p.texts[lang][key]
	if !ok {
		return "", fmt.Errorf("no text %q in %s", key, lang)
	}
	return text, nil
}

// grouped is a number with a comma every three digits.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// page is what all pages of a user have in common.
func (d *Dashboard) page(v *visit, name string, data any) page {
	p := page{Lang: v.lang, Name: name, User: v.session.user, Role: v.session.role, CSRF: v.session.csrf,
		Nav: d.nav(v.session, name), Company: v.company, Companies: v.scope, Wrong: v.wrong, Data: data}
	if done := v.r.URL.Query().Get("done"); done != "" && d.pages.texts[v.lang]["done_"+done] != "" {
		p.Done = "done_" + done
	}
	return p
}

// nav is the pages of the user's role.
func (d *Dashboard) nav(s *session, here string) []navItem {
	var items []navItem
	for _, p := range places() {
		if slices.Contains(p.roles, s.role) {
			items = append(items, navItem{p.name, p.name == here})
		}
	}
	return items
}

// render makes the whole page before a byte of it is sent.
func (d *Dashboard) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Root, p.Style, p.At = d.root, d.root+d.stylePath, d.o.Now()
	p.Here = d.root + "/"
	if r.Method == http.MethodGet {
		p.Here = r.URL.RequestURI()
	}
	var b bytes.Buffer
	if err := d.pages.by[p.Lang][name].Execute(&b, p); err != nil {
		d.o.Logger.Error("dashboard cannot make a page", slog.String("page", name), slog.Any("err", err))
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the visitor may be gone
}

// fail shows why there is no page: the key of a text.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, status int, why string) {
	p := page{Lang: d.lang(r), Name: "fail", Wrong: why}
	if s := d.session(r); s != nil {
		p.User, p.Role, p.CSRF, p.Nav = s.user, s.role, s.csrf, d.nav(s, "")
	}
	d.render(w, r, status, "fail", p)
}

// matchLanguage is the better of our languages for an Accept-Language field.
func matchLanguage(accept string) string {
	languages := xlanguage.NewMatcher([]xlanguage.Tag{xlanguage.Japanese, xlanguage.English})
	if len(accept) <= 1000 {
		if _, at := xlanguage.MatchStrings(languages, accept); at == 1 {
			return "en"
		}
	}
	return "ja"
}

// lang is what the visitor chose, else what the browser asks for.
func (d *Dashboard) lang(r *http.Request) string {
	switch lang := d.cookie(r, "lang"); lang {
	case "ja", "en":
		return lang
	}
	return matchLanguage(r.Header.Get("Accept-Language"))
}

// language keeps the visitor's choice and goes back to the page; one of ours
// alone, so that nobody is led elsewhere.
func (d *Dashboard) language(w http.ResponseWriter, r *http.Request) {
	lang := r.PathValue("lang")
	if lang != "ja" && lang != "en" {
		d.fail(w, r, http.StatusNotFound, "unknown")
		return
	}
	d.setCookie(w, "lang", lang, http.SameSiteLaxMode)
	next, err := url.Parse(r.FormValue("next"))
	if err != nil || next.Host != "" || next.Scheme != "" || !strings.HasPrefix(next.Path, d.root+"/") || strings.HasPrefix(next.Path, "//") || strings.ContainsAny(next.Path, "\\") {
		next = &url.URL{Path: d.root + "/"}
	}
	http.Redirect(w, r, next.RequestURI(), http.StatusSeeOther)
}
