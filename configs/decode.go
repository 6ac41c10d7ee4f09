package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// scalar is a field type that is written as one text and checks itself: what
// loads is valid. A *hintedError also tells the admin what to write instead.
type scalar interface {
	parse(text string) error
}

// hintedError is a mistake with its remedy.
type hintedError struct{ msg, hint string }

func (e *hintedError) Error() string { return e.msg }

func hinted(hint, format string, args ...any) error {
	return &hintedError{msg: fmt.Sprintf(format, args...), hint: hint}
}

// decoder puts a YAML tree into Go values and collects every mistake on the way.
// The library's own decoding is not used for this step because its errors carry
// no key path and stop being positions once a value has been accepted: a later
// check of companies[0].public_url must still point at its line.
type decoder struct {
	file     string
	at       map[string]mark // where the value of each key path starts
	meant    map[string]bool // key paths that a misspelt key was probably meant to be
	unread   map[string]bool // key paths whose value has the wrong shape
	problems Problems

	elsewhere Problems // in the files that this one names
}

type mark struct{ line, column int }

// decodeYAML reads the one document of src into v, a pointer to a struct whose
// fields have yaml tags. Defaults are filled in before a struct is read.
func decodeYAML(file string, src []byte, v any) *decoder {
	d := &decoder{file: file, at: map[string]mark{}, meant: map[string]bool{}, unread: map[string]bool{}}
	defaults(v)
	if root := d.document(src); root != nil {
		d.value(root, reflect.ValueOf(v).Elem(), "")
	}
	return d
}

// parsed tells whether there was a tree to read at all.
func (d *decoder) parsed() bool { return len(d.at) > 0 }

// document parses src; nil after a syntax error or if there is nothing in it.
func (d *decoder) document(src []byte) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		d.add(mark{}, "", fmt.Sprintf("cannot be read: %v", err), "")
		return nil
	}
	var first, second yaml.Node
	switch err := loader.Load(&first); {
	case errors.Is(err, io.EOF):
		d.add(mark{}, "", "is empty", `start from the sample that "careerrelay sample" prints`)
		return nil
	case err != nil:
		d.syntax(src, err)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		d.add(mark{second.Line, second.Column}, "", "a second document starts here; it would be ignored",
			"remove the line --- or the text after it")
	case !errors.Is(err, io.EOF):
		d.syntax(src, err)
	}
	return first.Content[0]
}

// syntax turns an error of the YAML parser into a problem. The parser's words
// are kept; the characters that admins do not see get a hint.
func (d *decoder) syntax(src []byte, err error) {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		d.add(mark{}, "", fmt.Sprintf("is not YAML: %v", err), "")
		return
	}
	at := mark{load.Mark.Line, load.Mark.Column}
	hint := cmp.Or(blankHint(lineOf(src, at.line)), blankHint(lineOf(src, at.line-1)))
	switch {
	case hint != "":
	case strings.Contains(load.ContextMsg, "flow"):
		hint = fmt.Sprintf("the [ or { that stands in line %d is not closed, or a comma is missing", load.ContextMark.Line)
	case strings.Contains(load.Message, "mapping values"):
		hint = `put a text that contains ": " in quotes, or align the key with its neighbours`
	case strings.Contains(load.Message, "did not find expected"):
		hint = "look for a missing ] } or quote, or for a line that is not aligned with its neighbours"
	}
	d.add(at, "", "is not YAML: "+load.Message, hint)
}

func lineOf(src []byte, n int) string {
	lines := strings.Split(string(src), "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

// blankHint names the blanks that indent a line and are not blanks for YAML.
func blankHint(line string) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t\u3000\u00a0"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "a tab indents this line or the one above: YAML wants blanks"
	case strings.Contains(indent, "\u3000"):
		return "a full-width blank (U+3000) indents this line or the one above: YAML wants ordinary blanks"
	case strings.Contains(indent, "\u00a0"):
		return "a no-break space (U+00A0) indents this line or the one above: YAML wants ordinary blanks"
	}
	return ""
}

func (d *decoder) add(at mark, key, msg, hint string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: at.line, Column: at.column, Key: key, Msg: msg, Hint: hint})
}

// value reads n into v. Every path of the tree is visited at most once per
// place that names it and types bound the depth, so aliases cannot blow up.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.at[path] = mark{n.Line, n.Column}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		d.scalar(n, s.parse, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	default:
		d.scalar(n, func(text string) error { return parseBasic(v, text) }, path)
	}
}

func (d *decoder) scalar(n *yaml.Node, parse func(string) error, path string) {
	if n.Kind != yaml.ScalarNode {
		d.mismatch(n, path, "one value")
		return
	}
	if n.Tag == "!!null" || n.ShortTag() == "!!null" {
		d.add(d.at[path], path, "has no value", "write one, or remove the key to get the default")
		return
	}
	if err := parse(n.Value); err != nil {
		d.add(d.at[path], path, err.Error(), hintOf(err))
	}
}

func hintOf(err error) string {
	if h, ok := errors.AsType[*hintedError](err); ok {
		return h.hint
	}
	return ""
}

func (d *decoder) mismatch(n *yaml.Node, path, want string) {
	d.unread[path] = true
	got := map[yaml.Kind]string{yaml.MappingNode: "keys and values", yaml.SequenceNode: "a list", yaml.ScalarNode: "one value"}[n.Kind]
	d.add(d.at[path], path, fmt.Sprintf("wants %s, not %s", want, got), "")
}

// parseBasic reads texts, whole numbers and booleans.
func parseBasic(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("wants a whole number, not %q", text)
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("wants true or false, not %q", text)
		}
		v.SetBool(text == "true")
	default:
		panic("configs: no decoding for " + v.Type().String())
	}
	return nil
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, path, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		defaults(v.Index(i).Addr().Interface())
		d.value(c, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.ShortTag() == "!!null" {
		return // a key without anything below it: as if it were left out
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "keys and values")
		return
	}
	fields := fieldsOf(v)
	seen := map[string]mark{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := mark{key.Line, key.Column}
		field, known := fields[key.Value]
		first, double := seen[key.Value]
		switch {
		case double:
			d.add(at, join(path, key.Value), "stands here a second time", fmt.Sprintf("the first is in line %d; keep one", first.line))
		case !known:
			hint, meant := unknownHint(key.Value, slices.Sorted(maps.Keys(fields)))
			d.add(at, join(path, key.Value), "unknown key", hint)
			d.meant[join(path, meant)] = true
		default:
			d.value(val, field, join(path, key.Value))
		}
		if !double {
			seen[key.Value] = at
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fieldsOf maps yaml keys to the fields of a struct.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for f, field := range v.Fields() {
		if key := f.Tag.Get("yaml"); key != "" {
			fields[key] = field
		}
	}
	return fields
}

// unknownHint names the invisible character, or the known key that was probably
// meant and returns it too.
func unknownHint(key string, known []string) (hint, meant string) {
	tidy := strings.ToLower(strings.Trim(key, "\u3000\u00a0"))
	meant = nearest(tidy, known)
	switch {
	case strings.ContainsRune(key, '\u3000'):
		return "a full-width blank (U+3000) stands in the key: YAML wants ordinary blanks", meant
	case strings.ContainsRune(key, '\u00a0'):
		return "a no-break space (U+00A0) stands in the key: YAML wants ordinary blanks", meant
	case key == "<<":
		return "merge keys are not supported: write the keys out", ""
	case meant != "":
		return fmt.Sprintf("did you mean %q?", meant), meant
	}
	return "known here: " + strings.Join(known, ", "), ""
}
