package configs

import (
	_ "embed" // the model
	"sync"

	"github.com/careerrelay/careerrelay/rewrite"
)

//go:generate go run ../cmd/careerrelay train --out model/model.bin ../testdata/corpus testdata/mails/first testdata/mails/second testdata/mails/third testdata/mails/fourth

// modelFile is the shipped model. docs/model.md says what it learnt from and how
// good it is.
//
//go:embed model/model.bin
var modelFile []byte

// BuiltinModel is the shipped model.
func BuiltinModel() *rewrite.Model { return builtinModel() }

var builtinModel = sync.OnceValue(func() *rewrite.Model {
	m, err := rewrite.ParseModel(modelFile)
	if err != nil {
		panic(err) // the file is compiled in
	}
	return m
})

// modelOff reports whether a rule file switches the model off.
func modelOff(sources []*ruleSource) bool {
	for _, s := range sources {
		if s.file.Model == "off" {
			return true
		}
	}
	return false
}
