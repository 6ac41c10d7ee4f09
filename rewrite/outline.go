package rewrite

import (
	"fmt"
	"slices"
)

// OutlinePart is one line of the outline of a message.
type OutlinePart struct {
	Part   *Part
	Path   string // "1" for the message itself, "1.2" for its second part …
	Target bool   // it holds the newest text that a person reads: the block would go here
	Why    string // of a leaf that is no target: one of OutlineReasons; else ""
}

// OutlineReasons is the closed list of reasons why a part is no target, with what
// each means to the administrator.
func OutlineReasons() map[string]string {
	return map[string]string{
		"attachment": "the sender meant it as a file: it has a name or is marked as an attachment",
		"calendar":   "an invitation",
		"encrypted":  "encrypted, or part of an encrypted message",
		"later_text": "another text comes first",
		"message":    "a whole message that was forwarded or returned",
		"not_text":   "no text: an image, a document …",
		"other_form": "a form of the text that mail programs show in place of the others, never edited",
		"report":     "part of a delivery report",
	}
}

// Outline lists all parts in the order of the message, with the targets and, for
// every other leaf, why it is none.
func (m *Message) Outline() []OutlinePart {
	var outline []OutlinePart
	targets := m.readable()
	var walk func(p *Part, path string)
	walk = func(p *Part, path string) {
		o := OutlinePart{Part: p, Path: path, Target: slices.Contains(targets, p)}
		if !o.Target && !p.Multipart() {
			o.Why = p.whyNot()
		}
		outline = append(outline, o)
		for i, c := range p.Children {
			walk(c, fmt.Sprintf("%s.%d", path, i+1))
		}
	}
	walk(m.Root, "1")
	return outline
}

// whyNot is the reason why a leaf is no target.
func (p *Part) whyNot() string {
	for up := p.Parent; up != nil; up = up.Parent {
		switch up.MediaType {
		case "multipart/encrypted":
			return "encrypted"
		case "multipart/report":
			return "report"
		}
	}
	switch {
	case p.Type() == "message":
		return "message"
	case p.MediaType == "application/pkcs7-mime" || p.MediaType == "application/x-pkcs7-mime":
		return "encrypted"
	case p.attachment():
		return "attachment"
	case p.MediaType == "text/calendar":
		return "calendar"
	case p.MediaType == "text/plain" || p.MediaType == "text/html":
		return "later_text"
	case p.Type() == "text":
		return "other_form"
	}
	return "not_text"
}
