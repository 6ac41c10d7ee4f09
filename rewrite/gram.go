package rewrite

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// A gram is a short run of characters (in Japanese) or of words and of characters
// inside a word (elsewhere). Grams are known by the bucket their hash falls into.
const (
	bucketBits = 16
	buckets    = 1 << bucketBits
	longestRun = 5 // characters
	longestRow = 3 // words
)

// sheet is a mail as the model sees it: the buckets of its grams, each once.
type sheet struct {
	subject   []uint16
	sentences [][]uint16 // of the newest text; none is empty
	whole     []uint16   // of all sentences together
}

// maxModelText is how many bytes of normalised text are read: a letter that
// refuses is short.
const maxModelText = 24 << 10

// sheetOf takes what an analysis read in one language. At gives the sentence of
// the analysis for each of the sheet.
func sheetOf(an *analysis, lex *lexicon) (s sheet, at []int) {
	var own, all bucketSet
	read := 0
	for i := range an.sentences {
		sc := &an.sentences[i]
		if sc.lex != lex.index || read > maxModelText {
			continue
		}
		switch norm := an.normal(int32(i)); sc.place {
		case InSubject:
			s.subject = own.take(lex.language, norm, nil)
		case InText:
			read += len(norm)
			if grams := own.take(lex.language, norm, &all); len(grams) > 0 {
				s.sentences, at = append(s.sentences, grams), append(at, i)
			}
		}
	}
	s.whole = all.list
	return s, at
}

// bucketSet gathers distinct buckets.
type bucketSet struct {
	has  [buckets / 64]uint64
	list []uint16
}

func (b *bucketSet) add(n uint16) {
	if word, bit := n/64, uint64(1)<<(n%64); b.has[word]&bit == 0 {
		b.has[word] |= bit
		b.list = append(b.list, n)
	}
}

// take is the set of one text, which is added to all, too. The set is empty after.
func (b *bucketSet) take(language string, norm []byte, all *bucketSet) []uint16 {
	eachGram(language, norm, func(bucket uint16, _, _ int) { b.add(bucket) })
	grams := b.list
	for _, n := range grams {
		b.has[n/64] = 0
		if all != nil {
			all.add(n)
		}
	}
	b.list = nil
	return grams
}

// eachGram calls each for every gram of a normalised sentence, with the place it
// stands at.
func eachGram(language string, norm []byte, each func(bucket uint16, start, end int)) {
	if language == langJapanese {
		eachRun(norm, 0, longestRun, 1, each)
		return
	}
	eachRow(norm, each)
	for start, end := range eachWord(norm) {
		// Blanks at both ends: a run knows whether a word begins or ends with it.
		word := bytes.Join([][]byte{{' '}, norm[start:end], {' '}}, nil)
		eachRun(word, start-1, longestRun, 3, each)
	}
}

// eachRun gives the runs of shortest to longest characters. A digit is like any other.
func eachRun(s []byte, offset, longest, shortest int, each func(bucket uint16, start, end int)) {
	for start := 0; start < len(s); {
		h, at := runSeed, start
		for n := 1; n <= longest && at < len(s); n++ {
			r, size := utf8.DecodeRune(s[at:])
			at += size
			h = mix(h, uint64(levelled(r)))
			if n >= shortest {
				each(bucketOf(h), offset+start, offset+at)
			}
		}
		_, size := utf8.DecodeRune(s[start:])
		start += size
	}
}

// eachRow gives single words and rows of up to longestRow words.
func eachRow(s []byte, each func(bucket uint16, start, end int)) {
	type word struct {
		hash  uint64
		start int
	}
	var last [longestRow]word // the newest first
	n := 0
	for start, end := range eachWord(s) {
		copy(last[1:], last[:])
		last[0] = word{wordHash(s[start:end]), start}
		n = min(n+1, longestRow)
		h := rowSeed
		for i := range n {
			h = mix(h, last[i].hash)
			each(bucketOf(h), last[i].start, end)
		}
	}
}

func wordHash(word []byte) uint64 {
	h := rowSeed
	for _, r := range string(word) {
		h = mix(h, uint64(levelled(r)))
	}
	return h
}

// eachWord yields the places of the words of s.
func eachWord(s []byte) func(yield func(start, end int) bool) {
	return func(yield func(start, end int) bool) {
		start := -1
		for i, r := range string(s) {
			inWord := isWordRune(r) || r == '\''
			switch {
			case inWord && start < 0:
				start = i
			case !inWord && start >= 0:
				if !yield(start, i) {
					return
				}
				start = -1
			}
		}
		if start >= 0 {
			yield(start, len(s))
		}
	}
}

// levelled makes all digits alike: no number refuses anybody.
func levelled(r rune) rune {
	if unicode.IsDigit(r) {
		return '0'
	}
	return r
}

// Seeds that keep runs and rows apart, and the odd number nearest to 2^64 over
// the golden ratio (Knuth, The Art of Computer Programming, 6.4).
const (
	runSeed     uint64 = 0x51_7c_c1_b7_27_22_0a_95
	rowSeed     uint64 = 0x2b_99_2d_df_a2_32_49_d6
	goldenRatio uint64 = 0x9e_37_79_b9_7f_4a_7c_15
)

func mix(h, v uint64) uint64 {
	h = (h ^ v) * goldenRatio
	return h ^ h>>29
}

func bucketOf(h uint64) uint16 { return uint16(h * goldenRatio >> (64 - bucketBits)) }
