package smtp

import (
	"io"

	"github.com/careerrelay/careerrelay/rewrite"
)

// editor is package rewrite as the line sees it; tests put faults in its place.
type editor interface {
	inspect(r io.ReaderAt, size int64) (letter, error)
}

// letter is one message that was inspected.
type letter interface {
	decide(env rewrite.Envelope) rewrite.Verdict
	splice(v rewrite.Verdict, link, optOut string) ([]rewrite.Edit, error)
	prove(edits []rewrite.Edit) error
}
