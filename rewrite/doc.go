// Package rewrite decides what happens to the bytes of one message, and does it.
//
// Its pieces follow each other as a message does:
//
//	Parse   one pass over the raw bytes: an index of parts with byte offsets
//	Decide  rules on the normalised newest text: a Verdict that names its evidence
//	Edits   where the block goes and what its bytes are, in each part's own
//	        charset and transfer encoding
//	Apply   writes the message with the edits; can touch nothing else
//	Prove   takes the insertions out again and compares; a second, independent
//	        parser reads before and after
//
// The package is pure: no network, no disk, no clock, no log. All types are safe
// for concurrent reading after they are built; a *Message belongs to one goroutine.
package rewrite
