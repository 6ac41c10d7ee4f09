package configs

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// textMap is a mapping of free keys to texts, wordMap one to lists of phrases.
type (
	textMap map[string]string
	wordMap map[string][]string
)

// entries reads a mapping whose keys are the admin's own.
func (d *decoder) entries(n *yaml.Node, v reflect.Value, path string) {
	if n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "keys and values")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	seen := map[string]mark{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := mark{key.Line, key.Column}
		if first, double := seen[key.Value]; double {
			d.add(at, join(path, key.Value), "stands here a second time", fmt.Sprintf("the first is in line %d; keep one", first.line))
			continue
		}
		seen[key.Value] = at
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(val, value, join(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), value)
	}
}
