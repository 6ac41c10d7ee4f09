package rewrite

// Kind is what a message is, for the relay.
type Kind string

// The kinds of verdict.
const (
	None      Kind = "none"      // nothing for us
	Rejection Kind = "rejection" // tells the addressed candidate "no"
	Leaver    Kind = "leaver"    // friendly procedure mail to someone who leaves
)

// Verdict is a decision and why it was made.
type Verdict struct {
	Kind     Kind
	Rule     string     // id of the rule that decided; "" if none matched
	Score    float64    // of that rule, or of the best near miss
	Language string     // "ja", "en" or ""
	Stage    string     // 書類, 一次, 最終 … as a short id: screening, interview, final; or ""
	Wording  string     // wording family the rule asks for; "" is the default
	Reason   string     // for None: a short closed id, such as no_rule, contrary, several_candidates
	Evidence []Evidence // what spoke for and against, in text order; content: never log it
}

// Near reports a near miss: a rule found what it needs, and then too little for
// its threshold, or more that speaks against it.
func (v Verdict) Near() bool {
	return v.Kind == None && v.Rule != "" && v.Score > 0 && (v.Reason == ReasonBelowThreshold || v.Reason == ReasonContrary)
}

// Evidence is one finding in the text.
type Evidence struct {
	ID       string  // phrase class or signal
	Weight   float64 // negative speaks against
	Text     string  // the sentence or words, as read; candidate data: explain only
	Sentence int     // index of the sentence in the reading, -1 for headers
}

// Envelope is what the transaction knows beyond the message.
type Envelope struct {
	From       string   // MAIL FROM address, "" for the null path
	Recipients []string // RCPT TO addresses
	OwnDomains []string // lower case; the company's own domains and their subdomains
}
