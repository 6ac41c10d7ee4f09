package rewrite

// Rule decides about one kind of message in one language. It names the signals
// whose presence it needs, those that count, and those that forbid it.
//
// A message matches if every signal of All, at least one of Any (when Any is
// not empty) and none of Unless is found, and the weights of the signals of All
// and Also that were found, and of the strongest of Any, add up to Threshold.
type Rule struct {
	ID        string
	Kind      Kind
	Language  string   // "ja" or "en": the language of the block that is inserted
	Wording   string   // wording family of the block; "" is the default
	Signals   []Signal // what All, Any, Also and Unless name, and stages
	All       []string
	Any       []string
	Also      []string
	Unless    []string
	Threshold float64
	// Spellings are replaced before anything is compared, in mails and phrases
	// alike; the rules of one set share them.
	Spellings map[string]string
	// Classes are the word classes that phrases refer to as <name>.
	Classes map[string][]string
	Exclude []string // addresses and domains of recipients the rule never touches
}

// Signal is something a sentence can say. It is found in a sentence that has
// one of Says and, where given, one of With and none of Without; one of Near
// must stand at most Within sentences away.
//
// A phrase is ordinary text, compared after normalisation. "…" stands for up to
// Gap characters of the same sentence, (a|b) for a or b, (a|) for an optional a,
// <name> for a phrase of a word class, a * at the end of a word of Latin letters
// for any ending, ^ and $ for the start and the end of the sentence.
type Signal struct {
	ID      string
	Weight  float64 // negative speaks against
	Where   Where
	Says    []string
	With    []string
	Without []string
	Near    []string
	Within  int    // sentences; 0 is the same sentence
	Stage   string // the stage of the application that the signal tells; "" for none
}

// Where is the part of a message that a signal looks at.
type Where string

// The parts a signal can look at. The zero value is the text.
const (
	InText      Where = ""          // the newest text
	InSubject   Where = "subject"   // the subject
	InBoth      Where = "both"      // text and subject
	InFrom      Where = "from"      // the sender as displayed
	InTo        Where = "to"        // the recipients as displayed
	InOpening   Where = "opening"   // the first sentences of the text, where the addressee stands
	InSignature Where = "signature" // the signature that was cut off
	InQuoted    Where = "quoted"    // the history that was cut off
)

// openingSentences is how much of a text counts as its opening.
const openingSentences = 4
