package agency

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// document is the description of the API, and what of it was seen in answers.
type document struct {
	tree map[string]any
	seen map[string]bool // "GET /v1/people 200", "field Person.id", "value Person.state opted_in"
}

func described(t testing.TB) *document {
	t.Helper()
	d := &document{seen: map[string]bool{}}
	if err := json.Unmarshal(openAPI, &d.tree); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows keys from the root, references included.
func (d *document) at(node any, keys ...string) any {
	for _, key := range keys {
		m, _ := d.follow(node).(map[string]any)
		node = m[key]
	}
	return d.follow(node)
}

func (d *document) follow(node any) any {
	m, is := node.(map[string]any)
	if ref, has := m["$ref"].(string); is && has {
		return d.at(d.tree, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return node
}

// template is the described path that a request's path is one of.
func (d *document) template(path string) string {
	path, _, _ = strings.Cut(path, "?")
	for _, t := range slices.Sorted(maps.Keys(d.at(d.tree, "paths").(map[string]any))) {
		want, got := strings.Split(t, "/"), strings.Split(path, "/")
		match := len(want) == len(got)
		for i := range want {
			match = match && (want[i] == got[i] || strings.HasPrefix(want[i], "{"))
		}
		if match {
			return t
		}
	}
	return ""
}

// check says in what an answer differs from its description.
func (d *document) check(method, path string, res *http.Response, raw []byte) (problems []string) {
	template, status := d.template(path), fmt.Sprint(res.StatusCode)
	described, _ := d.at(d.tree, "paths", template, strings.ToLower(method), "responses", status).(map[string]any)
	if described == nil {
		return []string{"not described"}
	}
	d.seen[method+" "+template+" "+status] = true
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	media, _ := d.at(described, "content", kind).(map[string]any)
	if media == nil {
		return []string{"content type " + kind + " is not described"}
	}
	if res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") == "" {
		problems = append(problems, "no Retry-After")
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return append(problems, err.Error())
	}
	return append(problems, d.fits("answer", media["schema"], value)...)
}

// fits holds a value against the part of JSON Schema that the description uses.
func (d *document) fits(where string, node, value any) (problems []string) {
	name := where
	if ref, _ := node.(map[string]any)["$ref"].(string); ref != "" {
		name = ref[strings.LastIndexByte(ref, '/')+1:]
	}
	s := d.follow(node).(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if !slices.Contains([]string{"type", "properties", "required", "additionalProperties", "items", "enum", "format", "oneOf", "description", "$ref"}, key) {
			problems = append(problems, name+": this test does not know "+key)
		}
	}
	if choices, has := s["oneOf"].([]any); has {
		return d.fitsOne(name, choices, value)
	}
	if !slices.Contains(typesOf(s), typeOf(value)) {
		return append(problems, fmt.Sprintf("%s: is a %s, want %v", name, typeOf(value), s["type"]))
	}
	if enum, has := s["enum"].([]any); has && value != nil {
		d.seen[fmt.Sprintf("value %s %v", name, value)] = true
		if !slices.Contains(enum, value) {
			problems = append(problems, fmt.Sprintf("%s: %v is none of %v", name, value, enum))
		}
	}
	if text, is := value.(string); is && s["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			problems = append(problems, name+": "+err.Error())
		}
	}
	for i, one := range asList(value) {
		problems = append(problems, d.fits(fmt.Sprintf("%s[%d]", name, i), s["items"], one)...)
	}
	if object, is := value.(map[string]any); is && s["properties"] != nil {
		problems = append(problems, d.fitsObject(name, s, object)...)
	}
	return problems
}

func asList(v any) []any { l, _ := v.([]any); return l }

func (d *document) fitsOne(name string, choices []any, value any) []string {
	var all []string
	for _, one := range choices {
		problems := d.fits(name, one, value)
		if len(problems) == 0 {
			return nil
		}
		all = append(all, problems...)
	}
	return all
}

func (d *document) fitsObject(name string, s, object map[string]any) (problems []string) {
	properties := s["properties"].(map[string]any)
	for _, key := range asList(s["required"]) {
		if _, has := object[key.(string)]; !has {
			problems = append(problems, fmt.Sprintf("%s: %v is missing", name, key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		sub, known := properties[key]
		if !known {
			problems = append(problems, fmt.Sprintf("%s: %s is not described", name, key))
			continue
		}
		d.seen["field "+name+"."+key] = true
		problems = append(problems, d.fits(name+"."+key, sub, object[key])...)
	}
	return problems
}

func typesOf(s map[string]any) (types []string) {
	if one, is := s["type"].(string); is {
		return []string{one}
	}
	for _, t := range asList(s["type"]) {
		types = append(types, t.(string))
	}
	return types
}

func typeOf(v any) string {
	switch n := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case float64:
		if n == float64(int64(n)) {
			return "integer"
		}
		return "number"
	}
	return "object"
}

// unused names what is described and was never in an answer: statuses of paths,
// and fields of what is answered. Kana and its like are the candidate's choice.
func (d *document) unused() (missing []string) {
	for path, item := range d.at(d.tree, "paths").(map[string]any) {
		for method, operation := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			for status := range d.at(operation, "responses").(map[string]any) {
				if key := strings.ToUpper(method) + " " + path + " " + status; !d.seen[key] {
					missing = append(missing, key)
				}
			}
		}
	}
	for name, schema := range d.at(d.tree, "components", "schemas").(map[string]any) {
		if name == "Report" || name == "Registration" {
			continue // bodies of requests
		}
		for field := range d.at(schema, "properties").(map[string]any) {
			optional := !slices.Contains(asList(d.at(schema, "required")), any(field))
			if key := "field " + name + "." + field; !optional && !d.seen[key] {
				missing = append(missing, key)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// TestDescriptionOfProfiles: the description names the fields that are handed
// over, no more and no fewer.
func TestDescriptionOfProfiles(t *testing.T) {
	d := described(t)
	raw, err := json.Marshal(Profile{"a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a"})
	if err != nil {
		t.Fatal(err)
	}
	var ours map[string]any
	if err := json.Unmarshal(raw, &ours); err != nil {
		t.Fatal(err)
	}
	described := d.at(d.tree, "components", "schemas", "Profile", "properties").(map[string]any)
	if !slices.Equal(slices.Sorted(maps.Keys(ours)), slices.Sorted(maps.Keys(described))) {
		t.Errorf("handed over: %v, described: %v", slices.Sorted(maps.Keys(ours)), slices.Sorted(maps.Keys(described)))
	}
}

// TestDescriptionCanFail: the check of answers sees what is wrong.
func TestDescriptionCanFail(t *testing.T) {
	d := described(t)
	schema := d.at(d.tree, "components", "schemas", "Problem")
	for name, value := range map[string]any{
		"missing":    map[string]any{"title": "x", "status": 1.0},
		"unknown":    map[string]any{"title": "x", "status": 1.0, "detail": "x", "more": "x"},
		"wrong type": map[string]any{"title": "x", "status": "1", "detail": "x"},
		"no object":  "x",
	} {
		if len(d.fits("x", schema, value)) == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
	person := d.at(d.tree, "components", "schemas", "Person", "properties", "state")
	if len(d.fits("x", person, "sent")) == 0 {
		t.Error("a value outside its list: nothing found")
	}
	if d.check("GET", "/v1/nowhere", &http.Response{StatusCode: 200}, nil) == nil {
		t.Error("an unknown path: nothing found")
	}
}
