package rewrite

import "strings"

// layout says where the newest text of a mail ends: the indexes of the first
// line of the signature and of the quoted history (len(lines) if there is none).
type layout struct {
	signature int
	quote     int
}

// newestEnd is the first line that is not the writer's newest text any more.
func (l layout) newestEnd() int { return min(l.signature, l.quote) }

// findLayout looks for signature and quoted history by Japanese and English
// conventions. Lines are decoded, without line ends.
func findLayout(lines []string) layout {
	l := layout{signature: len(lines), quote: len(lines)}
	for i, line := range lines {
		if line == "-- " && i < l.signature {
			l.signature = i
		}
		if strings.HasPrefix(line, ">") && i < l.quote {
			l.quote = i
		}
	}
	return l
}
