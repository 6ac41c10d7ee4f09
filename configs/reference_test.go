package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
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
	comments := reflector(t).CommentMap
	all := reference(func(typ reflect.Type, field *reflect.StructField) string {
		if field == nil {
			return comments[thisPackage+"."+typ.Name()]
		}
		return comments[thisPackage+"."+typ.Name()+"."+field.Name]
	})
	var page strings.Builder
	page.WriteString(strings.ReplaceAll(string(intro), "{{sample}}", strings.TrimSpace(string(Sample))))
	for _, b := range all {
		writeBlock(t, &page, b)
	}
	golden(t, "../docs/configuration.md", page.String())
}

// writeBlock writes a block of keys as a table.
func writeBlock(t *testing.T, page *strings.Builder, b Block) {
	t.Helper()
	title := "Top level"
	if b.Name != "" {
		title = "`" + b.Name + "`"
	}
	fmt.Fprintf(page, "\n## %s\n\n", title)
	if b.About != "" {
		fmt.Fprintf(page, "%s\n\n", b.About)
	}
	page.WriteString("| key | default | meaning |\n| --- | --- | --- |\n")
	for _, k := range b.Keys {
		if k.Meaning == "" {
			t.Errorf("the key %q of %s has no comment to explain it", k.Name, title)
		}
		value := k.Default
		if !slices.Contains([]string{"required", "see below", "none"}, value) {
			value = "`" + value + "`"
		}
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", k.Name, value, k.Meaning)
	}
}

// TestPrintedReference: the reference that the program itself can print says
// what the page says.
func TestPrintedReference(t *testing.T) {
	all, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, b := range all {
		writeBlock(t, &text, b)
	}
	if len(all) < 10 || !strings.HasSuffix(string(page), text.String()) {
		t.Errorf("the reference of the schema is not the end of docs/configuration.md:\n%s", text.String())
	}
}
