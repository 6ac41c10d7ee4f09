package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
)

const thisPackage = "github.com/careerrelay/careerrelay/configs"

// reflector reads types and their comments: the comments of config.go are the
// only place where a key is explained.
func reflector(t *testing.T) *jsonschema.Reflector {
	t.Helper()
	r := &jsonschema.Reflector{
		Anonymous: true, FieldNameTag: "yaml", ExpandedStruct: true, RequiredFromJSONSchemaTags: true, Mapper: schemaOf,
	}
	if err := r.AddGoComments("github.com/careerrelay/careerrelay/configs", "."); err != nil {
		t.Fatal(err)
	}
	for key, text := range r.CommentMap {
		r.CommentMap[key] = strings.Join(strings.Fields(text), " ")
	}
	return r
}

// schemaOf is the schema of the types that are written as one text.
func schemaOf(typ reflect.Type) *jsonschema.Schema {
	v := reflect.New(typ).Interface()
	if c, ok := reflect.Zero(typ).Interface().(interface{ choices() []string }); ok {
		s := &jsonschema.Schema{Type: "string"}
		for _, name := range c.choices() {
			s.Enum = append(s.Enum, name)
		}
		return s
	}
	if _, ok := v.(scalar); !ok {
		return nil
	}
	switch v.(type) {
	case *Size:
		return &jsonschema.Schema{Pattern: sizeForm.String()} // a plain number is fine too
	case *Duration:
		return &jsonschema.Schema{Pattern: `^[0-9.]+(ns|us|µs|ms|s|m|h|d|y)([0-9.]+(ns|us|µs|ms|s|m|h))*$`, Type: "string"}
	case *ID:
		return &jsonschema.Schema{Pattern: idForm.String(), Type: "string"}
	case *Mailbox:
		return &jsonschema.Schema{Pattern: "@", Type: "string"}
	case *URL:
		return &jsonschema.Schema{Pattern: `^https?://`, Type: "string"}
	case *Upstream:
		return &jsonschema.Schema{Pattern: `^(smtp|smtps|smtp\+insecure)://`, Type: "string"}
	}
	return &jsonschema.Schema{Type: "string"}
}

// goldenSchema compares a generated schema with the file that is shipped.
func goldenSchema(t *testing.T, file string, s *jsonschema.Schema) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	golden(t, file, b.String())
}

// TestSchema keeps the schema for editors current.
func TestSchema(t *testing.T) {
	s := reflector(t).Reflect(&Config{})
	s.Title = "Career Relay configuration"
	goldenSchema(t, "careerrelay.schema.json", s)
}

// TestReference keeps docs/configuration.md current: every key, its default,
// what it means.
func TestReference(t *testing.T) {
	intro, err := os.ReadFile("testdata/reference-intro.md")
	if err != nil {
		t.Fatal(err)
	}
	r := &reference{comments: reflector(t).CommentMap}
	r.WriteString(strings.ReplaceAll(string(intro), "{{sample}}", strings.TrimSpace(string(Sample))))
	c := &Config{}
	defaults(c)
	r.section(t, "", reflect.ValueOf(*c))
	golden(t, "../docs/configuration.md", r.String())
}

// reference writes one table per block of keys.
type reference struct {
	strings.Builder
	comments map[string]string
}

func (r *reference) section(t *testing.T, path string, v reflect.Value) {
	title := "Top level"
	if path != "" {
		title = "`" + path + "`"
	}
	typ := v.Type()
	fmt.Fprintf(r, "\n## %s\n\n", title)
	if about := r.comments[thisPackage+"."+typ.Name()]; about != "" {
		about = strings.TrimPrefix(about, typ.Name()+" ")
		fmt.Fprintf(r, "%s%s\n\n", strings.ToUpper(about[:1]), about[1:])
	}
	r.WriteString("| key | default | meaning |\n| --- | --- | --- |\n")
	blocks := map[string]reflect.Value{}
	var order []string
	for f, field := range v.Fields() {
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		meaning := r.comments[thisPackage+"."+typ.Name()+"."+f.Name]
		if meaning == "" {
			t.Errorf("%s.%s has no comment to explain the key %q", typ.Name(), f.Name, key)
		}
		child := strings.TrimPrefix(path+"."+key, ".")
		if block, name, found := blockOf(field, child); found {
			blocks[name] = block
			order = append(order, name)
		}
		fmt.Fprintf(r, "| `%s` | %s | %s |\n", key, defaultOf(f, field), meaning)
	}
	for _, name := range order {
		r.section(t, name, blocks[name])
	}
}

// blockOf is the block of keys that a field opens, with its defaults.
func blockOf(v reflect.Value, name string) (reflect.Value, string, bool) {
	if _, one := reflect.New(v.Type()).Interface().(scalar); one {
		return v, "", false
	}
	switch v.Kind() {
	case reflect.Struct:
		return v, name, true
	case reflect.Slice:
		elem := reflect.New(v.Type().Elem())
		if _, one := elem.Interface().(scalar); one || elem.Elem().Kind() != reflect.Struct {
			return v, "", false
		}
		defaults(elem.Interface())
		return elem.Elem(), name + "[]", true
	}
	return v, "", false
}

func defaultOf(f reflect.StructField, v reflect.Value) string {
	_, _, block := blockOf(v, "")
	switch {
	case strings.Contains(f.Tag.Get("jsonschema"), "required"):
		return "required"
	case block:
		return "see below"
	case v.IsZero() && v.Kind() != reflect.Bool:
		return "none"
	case v.Kind() == reflect.Slice:
		return fmt.Sprintf("`%s`", strings.ReplaceAll(fmt.Sprint(v.Interface()), " ", ", "))
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
