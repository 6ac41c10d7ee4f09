package rewrite

import (
	"slices"
)

// matcher finds many words in one pass (Aho and Corasick, CACM 18(6), 1975).
// It works on bytes, so a UTF-8 text needs no decoding. Bytes that no word
// contains share one class; the states near the root, where nearly all steps
// happen, have a complete row of transitions each, the deep ones a short sorted
// list and a link to fall back on: 10,000 words stay at a few megabytes.
type matcher struct {
	class  [256]uint8 // of each byte; 0 is "in no word"
	width  int        // number of classes
	dense  []int32    // rows of the first states: next state by class
	rows   int32      // number of them
	states []acState
	edges  []acEdge
}

type acState struct {
	first, count int32 // its edges, sorted by class
	fail         int32 // longest proper suffix that is a state
	word         int32 // the word that ends here; -1 if none
	ends         int32 // this state if a word ends here, or else suffix
	suffix       int32 // nearest state on the fail chain where a word ends; 0 if none
}

type acEdge struct {
	class uint8
	to    int32
}

// denseDepth is one Japanese character in UTF-8.
const denseDepth = 3

// newMatcher builds a matcher for distinct, non-empty words.
func newMatcher(words []string) *matcher {
	m := &matcher{width: 1}
	for _, w := range words {
		for i := range len(w) {
			if m.class[w[i]] == 0 && m.width < 256 {
				m.class[w[i]] = uint8(m.width)
				m.width++
			}
		}
	}
	m.link(m.grow(words))
	return m
}

// grow makes the trie and returns its states breadth first with their depths.
func (m *matcher) grow(words []string) (depths []int) {
	type node struct {
		children map[uint8]int
		word     int32
		depth    int
	}
	nodes := []node{{children: map[uint8]int{}, word: -1}}
	for id, w := range words {
		at := 0
		for i := range len(w) {
			c := m.class[w[i]]
			next, ok := nodes[at].children[c]
			if !ok {
				next = len(nodes)
				nodes = append(nodes, node{children: map[uint8]int{}, word: -1, depth: i + 1})
				nodes[at].children[c] = next
			}
			at = next
		}
		nodes[at].word = int32(id)
	}
	// Renumber breadth first, so that a fail link always points to a smaller number.
	order := make([]int, 1, len(nodes))
	for i := 0; i < len(order); i++ {
		n := nodes[order[i]]
		m.states = append(m.states, acState{first: int32(len(m.edges)), count: int32(len(n.children)), word: n.word})
		depths = append(depths, n.depth)
		classes := make([]uint8, 0, len(n.children))
		for c := range n.children {
			classes = append(classes, c)
		}
		slices.Sort(classes)
		for _, c := range classes {
			m.edges = append(m.edges, acEdge{class: c, to: int32(len(order))})
			order = append(order, n.children[c])
		}
	}
	return depths
}

// link sets the fail and suffix links and fills the rows of the shallow states.
func (m *matcher) link(depths []int) {
	for s := range m.states {
		if depths[s] <= denseDepth {
			m.fillRow(int32(s))
		}
		st := m.states[s]
		for _, e := range m.edges[st.first : st.first+st.count] {
			fail := int32(0)
			if s != 0 {
				fail = m.next(st.fail, e.class)
			}
			to := &m.states[e.to]
			to.fail, to.suffix = fail, m.states[fail].ends
			to.ends = to.suffix
			if to.word >= 0 {
				to.ends = e.to
			}
		}
	}
}

// fillRow completes the row of s; the rows of all smaller states are complete.
func (m *matcher) fillRow(s int32) {
	st := m.states[s]
	row := make([]int32, m.width)
	if s != 0 {
		copy(row, m.dense[int(st.fail)*m.width:int(st.fail+1)*m.width])
	}
	for _, e := range m.edges[st.first : st.first+st.count] {
		row[e.class] = e.to
	}
	m.dense = append(m.dense, row...)
	m.rows++
}

// next is the state after s on a byte of class c.
func (m *matcher) next(s int32, c uint8) int32 {
	for s >= m.rows {
		st := &m.states[s]
		for _, e := range m.edges[st.first : st.first+st.count] {
			if e.class == c {
				return e.to
			}
		}
		s = st.fail
	}
	return m.dense[int(s)*m.width+int(c)]
}

// each calls found for every occurrence of every word in text, in the order of
// their ends.
func (m *matcher) each(text []byte, found func(word, end int)) {
	s := int32(0)
	for i := range len(text) {
		c := m.class[text[i]]
		if c == 0 {
			s = 0
			continue
		}
		s = m.next(s, c)
		for out := m.states[s].ends; out != 0; out = m.states[out].suffix {
			found(int(m.states[out].word), i+1)
		}
	}
}
