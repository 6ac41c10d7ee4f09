package rewrite

import (
	"maps"
	"slices"
)

// Rule says which messages are of one kind, in one language, as data. Whoever
// writes it is no programmer: the file format that teaches it is in configs.
//
// Phrases are words as they stand in a mail. "(a|b)" stands for either, "(a|)"
// may be left out, "…" is a gap inside one sentence, "<name>" any phrase of the
// class defined under that name, a trailing "*" the rest of a word, and "re:" in
// front makes the rest a regular expression (RE2) over the normalised sentence.
type Rule struct {
	ID       string
	Kind     Kind
	Language string // "ja" is matched without blanks, every other on word boundaries
	Wording  string // wording family for the block; "" is the default
	Extends  string // id of the rule whose evidence, needs, vetoes, stages and threshold this one starts from
	Abstract bool   // only there to be extended
	Disabled bool   // switched off by a company
	Replace  bool   // in Merge: takes the place of the rule with this id instead of adding to it

	Threshold float64  // the sum of scores that decides; 0: that of Extends
	Model     float64  // log odds of the model from which on the rule decides; 0: it is not asked
	Needs     []string // ids of evidence of which at least one must be found
	Evidence  []Clause
	Veto      []Clause // any of these found: not this kind, whatever the score
	Stages    []Stage  // tried in order

	Define        map[string][]string // word classes of the language, shared by all its rules
	Spelling      map[string]string   // variants folded before matching, such as 致し → いたし
	LineEnds      []string            // a line that ends so ends a sentence, such as 様
	Abbreviations []string            // a full stop after these ends no sentence

	Except   Except
	Examples Examples
}

// Clause is one thing to find. Phrases and classes in one list are alternatives.
type Clause struct {
	ID           string
	Score        float64
	Max          int      // sentences that count; 0 is 1
	In           []Place  // where Any is looked for; none is the text
	Any          []string // the anchor: at least one of these
	SameSentence []string // each of these in the anchor's sentence too
	Near         int      // at most so many characters between the anchor and each of SameSentence; 0: anywhere in the sentence
	All          []string // each of these somewhere in text or subject
	Unless       []string // none of these in the anchor's sentence
	UnlessMail   []string // none of these anywhere in text or subject
	Quoted       bool     // also counts between quotation marks
	UnlessModel  float64  // of a veto: it yields to a model of these log odds; 0: to none
}

// Place is a part of a reading that a clause looks at.
type Place string

// The places.
const (
	InText      Place = "text"      // the newest text
	InOpening   Place = "opening"   // the first sentences of it, where the addressee is named
	InSubject   Place = "subject"   //
	InFrom      Place = "from"      // display name and address
	InTo        Place = "to"        // display name and address
	InSignature Place = "signature" // what was cut off as signature
	InQuoted    Place = "quoted"    // what was cut off as history
)

// Places are all places a clause may look at.
func Places() []Place {
	return []Place{InText, InOpening, InSubject, InFrom, InTo, InSignature, InQuoted}
}

// Stage is how far the candidate had come, with the words that say so.
type Stage struct {
	ID  string
	Any []string
}

// Except names messages a company never wants touched.
type Except struct {
	Addresses []string          // recipients, lower case
	Domains   []string          // of recipients, with their subdomains, lower case
	Headers   map[string]string // field name → word its value contains; "" for any value
}

// Examples are run when rules are loaded: a rule that fails its own is refused.
type Examples struct {
	Yes, No []string
}

// Merge puts a company's rules over the built-in ones. A rule with a known id
// adds to that rule: lists grow, evidence and vetoes of the same id are replaced,
// threshold and wording win if they are set. Replace takes its whole place.
func Merge(base, over []Rule) []Rule {
	merged := slices.Clone(base)
	for _, r := range over {
		i := slices.IndexFunc(merged, func(m Rule) bool { return m.ID == r.ID })
		switch {
		case i < 0:
			merged = append(merged, r)
		case r.Replace:
			merged[i] = r
		default:
			merged[i] = merged[i].with(r)
		}
	}
	return merged
}

// with is r with what o adds to it.
func (r Rule) with(o Rule) Rule {
	if o.Threshold != 0 {
		r.Threshold = o.Threshold
	}
	if o.Model != 0 {
		r.Model = o.Model
	}
	if o.Wording != "" {
		r.Wording = o.Wording
	}
	if o.Kind != "" {
		r.Kind = o.Kind
	}
	r.Disabled = o.Disabled
	r.Needs = slices.Concat(r.Needs, o.Needs)
	r.Evidence = mergeClauses(r.Evidence, o.Evidence)
	r.Veto = mergeClauses(r.Veto, o.Veto)
	r.Stages = slices.Concat(o.Stages, r.Stages)
	r.Define = mergeWords(r.Define, o.Define)
	r.Spelling = mergeMap(r.Spelling, o.Spelling)
	r.LineEnds = slices.Concat(r.LineEnds, o.LineEnds)
	r.Abbreviations = slices.Concat(r.Abbreviations, o.Abbreviations)
	r.Except = Except{
		Addresses: slices.Concat(r.Except.Addresses, o.Except.Addresses),
		Domains:   slices.Concat(r.Except.Domains, o.Except.Domains),
		Headers:   mergeMap(r.Except.Headers, o.Except.Headers),
	}
	r.Examples = Examples{Yes: slices.Concat(r.Examples.Yes, o.Examples.Yes), No: slices.Concat(r.Examples.No, o.Examples.No)}
	return r
}

func mergeClauses(base, over []Clause) []Clause {
	merged := slices.Clone(base)
	for _, c := range over {
		i := slices.IndexFunc(merged, func(m Clause) bool { return m.ID == c.ID })
		if i < 0 {
			merged = append(merged, c)
			continue
		}
		merged[i] = c
	}
	return merged
}

func mergeWords(base, over map[string][]string) map[string][]string {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string][]string{}
	}
	for name, phrases := range over {
		merged[name] = slices.Concat(merged[name], phrases)
	}
	return merged
}

func mergeMap(base, over map[string]string) map[string]string {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, over)
	return merged
}
