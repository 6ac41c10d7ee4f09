package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// candidate is a person with a browser of his own, who got a link.
type candidate struct {
	link, mail string
	browser    *http.Client
}

func newCandidate(link, mail string) *candidate {
	jar, _ := cookiejar.New(nil) // cannot fail without options
	return &candidate{link: link, mail: mail, browser: &http.Client{Jar: jar, Timeout: patience}}
}

// answered is a page that came.
type answered struct {
	status int
	at     *url.URL // after redirects
	body   string
}

func (c *candidate) ask(method, link string, form url.Values) (answered, error) {
	r, err := http.NewRequest(method, link, strings.NewReader(form.Encode()))
	if err != nil {
		return answered{}, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := c.browser.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, res.Request.URL, string(body)}, err
}

// open looks at the link as a scanner or a browser does.
func (c *candidate) open(t *testing.T, method string) answered {
	t.Helper()
	page, err := c.ask(method, c.link, nil)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// form is the form of a page whose action ends so, with what it sends untouched:
// only fields that are hidden.
func (a answered) form(action string) (to string, hidden url.Values, err error) {
	page, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		return "", nil, err
	}
	for n := range page.Descendants() {
		if n.Data != "form" || !strings.HasSuffix(attribute(n, "action"), action) {
			continue
		}
		address, err := a.at.Parse(attribute(n, "action"))
		if err != nil {
			return "", nil, err
		}
		hidden := url.Values{}
		for field := range n.Descendants() {
			if field.Data == "input" && attribute(field, "type") == "hidden" {
				hidden.Add(attribute(field, "name"), attribute(field, "value"))
			}
		}
		return address.String(), hidden, nil
	}
	return "", nil, fmt.Errorf("page %d at %s has no form to %s:\n%s", a.status, a.at, action, a.body)
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// fill is what a candidate types and ticks.
func (c *candidate) fill() url.Values {
	return url.Values{
		"family_name": {"山田"}, "given_name": {"花子"}, "mail": {c.mail},
		"contact": {"mail"}, "frequency": {"asked"}, "adult": {"yes"}, "hand_over": {"yes"},
	}
}

// optIn goes the whole way: open the link, fill in the form, look it over, send.
// It may run beside the test.
func (c *candidate) optIn() error {
	page, err := c.ask(http.MethodGet, c.link, nil)
	if err != nil {
		return err
	}
	token := c.link[strings.LastIndexByte(c.link, '/'):]
	if page, err = c.submit(page, token, c.fill()); err != nil {
		return fmt.Errorf("review: %w", err)
	}
	if page, err = c.submit(page, token+"/apply", nil); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if !strings.HasSuffix(page.at.Path, token+"/done") {
		return fmt.Errorf("applying led to %s:\n%s", page.at, page.body)
	}
	return nil
}

// submit sends a form of the page. The relay takes none that comes faster than a
// person reads, so it is sent again until it is taken.
func (c *candidate) submit(page answered, action string, typed url.Values) (answered, error) {
	to, form, err := page.form(action)
	if err != nil {
		return page, err
	}
	maps.Copy(form, typed)
	limit := time.Now().Add(patience)
	early := 0
	for pace := time.Tick(700 * time.Millisecond); time.Now().Before(limit); <-pace {
		next, err := c.ask(http.MethodPost, to, form)
		if err != nil || next.status == http.StatusOK {
			if err == nil && early == 0 {
				err = fmt.Errorf("a form was taken at once")
			}
			return next, err
		}
		if next.status != http.StatusUnprocessableEntity {
			return next, fmt.Errorf("status %d:\n%s", next.status, next.body)
		}
		early++
	}
	return page, fmt.Errorf("the form to %s was refused for %v", action, patience)
}

// optInAll lets candidates opt in side by side.
func optInAll(t *testing.T, all ...*candidate) {
	t.Helper()
	var group sync.WaitGroup
	for _, c := range all {
		group.Go(func() {
			if err := c.optIn(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
