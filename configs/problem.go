package configs

// Problem is one mistake in a file an admin edits: where it is, what is wrong
// and what to do next.
type Problem struct {
	File   string // as the admin named it
	Line   int    // 1-based; 0 if unknown
	Column int    // 1-based, in characters; 0 if unknown
	Key    string // path of the key, such as companies[0].upstream[1]; "" if none
	Msg    string // what is wrong
	Hint   string // what to do next; "" if Msg says it
}

// Problems is every mistake of one load, in file order. It is an error whose
// text has one paragraph per problem, with an excerpt of the file.
type Problems []Problem

func (ps Problems) Error() string { return "configuration is not valid" }
