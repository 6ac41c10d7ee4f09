package configs

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schema is the JSON Schema of the configuration file, for editors.
//
//go:embed careerrelay.schema.json
var Schema []byte

// Block is one block of keys of the configuration file.
type Block struct {
	Name  string // such as companies[].accept; "" for the top level
	About string // what the block is, one sentence
	Keys  []Key
}

// Key is one key of the configuration file.
type Key struct {
	Name    string
	Default string // as it would be written in the file, "required", "none", or "see below" for a block
	Meaning string
}

// explainer gives the text that explains a type, or one field of it.
type explainer func(typ reflect.Type, field *reflect.StructField) string

// Reference is every block of the configuration file in the order of the types,
// outer blocks first.
func Reference() ([]Block, error) {
	type object struct {
		Description string
		Properties  map[string]struct{ Description string }
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	schema.Defs[reflect.TypeFor[Config]().Name()] = schema.object
	return reference(func(typ reflect.Type, field *reflect.StructField) string {
		if field == nil {
			return schema.Defs[typ.Name()].Description
		}
		return schema.Defs[typ.Name()].Properties[field.Tag.Get("yaml")].Description
	}), nil
}

// reference is Reference with the texts of an explainer.
func reference(text explainer) []Block {
	c := &Config{}
	defaults(c)
	return blocks("", reflect.ValueOf(*c), text)
}

// blocks is the block of v, which holds its defaults, and those within it.
func blocks(path string, v reflect.Value, text explainer) []Block {
	typ := v.Type()
	b := Block{Name: path, About: sentence(typ, text(typ, nil))}
	var within []Block
	for f, field := range v.Fields() {
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		b.Keys = append(b.Keys, Key{Name: key, Default: defaultOf(f, field), Meaning: text(typ, &f)})
		if block, name, found := blockOf(field, strings.TrimPrefix(path+"."+key, ".")); found {
			within = append(within, blocks(name, block, text)...)
		}
	}
	return append([]Block{b}, within...)
}

// sentence is a doc comment without the name of its type.
func sentence(typ reflect.Type, about string) string {
	about = strings.TrimPrefix(about, typ.Name()+" ")
	if about == "" {
		return ""
	}
	return strings.ToUpper(about[:1]) + about[1:]
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

// defaultOf is what a key is worth that the file leaves out.
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
		return strings.ReplaceAll(fmt.Sprint(v.Interface()), " ", ", ")
	}
	return fmt.Sprint(v.Interface())
}
