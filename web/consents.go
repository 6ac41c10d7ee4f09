package web

import (
	"maps"
	"slices"
)

// ConsentText is a text that candidates agree to, or agreed to at some time.
type ConsentText struct {
	ID     string // such as optin-ja-1
	SHA256 string // hex, of Body
	Body   string
}

// ConsentTexts are all texts there ever were, with the agency's details in them.
func ConsentTexts(agency Agency) ([]ConsentText, error) {
	t, err := loadTemplates(agency)
	if err != nil {
		return nil, err
	}
	var all []ConsentText
	for _, id := range slices.Sorted(maps.Keys(t.agreed)) {
		all = append(all, ConsentText(t.agreed[id]))
	}
	return all, nil
}

// StyleSheet is the look of the pages, for others that shall look alike.
func StyleSheet() []byte { return slices.Clone(styleSheet) }
