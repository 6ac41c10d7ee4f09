package rewrite

// Reading is a message as its reader sees it first: what Decide works on.
type Reading struct {
	Header   map[string][]string // canonical field names, decoded values
	Subject  string
	From, To string // decoded, as displayed
	// Text is the newest human-readable text: decoded, UTF-8, lines end in LF;
	// quoted history, signature, hidden text and markup are cut off. A paragraph
	// or table cell of HTML ends in LF; a line break inside a sentence of plain
	// text is kept (the normalised view removes it).
	Text      string
	FromHTML  bool   // Text was taken from an HTML part
	Quoted    string // what was cut off as quoted history, for contrary evidence only
	Signature string // what was cut off as signature
	Forwarded bool   // the text starts with, or consists of, a forwarded message
}
