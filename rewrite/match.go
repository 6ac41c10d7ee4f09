package rewrite

// matcher finds all occurrences of many literals in one pass over a text, in
// time that does not depend on how many there are (Aho and Corasick, 1975). Bytes
// are first mapped to classes: the few values that occur in any literal. Most
// states have one way on, which is stored in the state; only branching ones
// have a row with an entry per class. So 10,000 Japanese phrases take a few
// megabytes, where a full table would take a hundred.
type matcher struct {
	class   [256]uint16 // 0 is a byte that is in no literal
	classes int
	states  []state
	rows    []int32 // ways on of branching states, classes entries each; 0 is none
}

type state struct {
	next    int32  // the one way on, or the start of the row
	fail    int32  // the longest proper suffix that is a state
	literal int32  // the literal that ends here, or -1
	suffix  int32  // the nearest state on the fail path with a literal, or 0
	length  int32  // bytes from the root
	label   uint16 // class of the one way on; 0: next is a row, or there is no way
	branch  bool
}

// newMatcher builds a matcher; literals must not be empty and not repeat.
func newMatcher(literals []string) *matcher {
	m := &matcher{classes: 1}
	for _, l := range literals {
		for i := range len(l) {
			if m.class[l[i]] == 0 {
				m.class[l[i]] = uint16(m.classes)
				m.classes++
			}
		}
	}
	m.states = []state{{literal: -1}}
	for id, l := range literals {
		m.insert(int32(id), l)
	}
	m.link()
	return m
}

func (m *matcher) insert(id int32, l string) {
	at := int32(0)
	for i := range len(l) {
		c := m.class[l[i]]
		to := m.way(at, c)
		if to == 0 {
			to = int32(len(m.states))
			m.states = append(m.states, state{literal: -1, length: int32(i + 1)})
			m.connect(at, c, to)
		}
		at = to
	}
	m.states[at].literal = id
}

// way is the state that class c leads to, or 0.
func (m *matcher) way(at int32, c uint16) int32 {
	s := &m.states[at]
	switch {
	case s.branch:
		return m.rows[int(s.next)+int(c)]
	case s.label == c:
		return s.next
	}
	return 0
}

func (m *matcher) connect(at int32, c uint16, to int32) {
	s := &m.states[at]
	if !s.branch && s.label == 0 {
		s.label, s.next = c, to
		return
	}
	if !s.branch {
		row := int32(len(m.rows))
		m.rows = append(m.rows, make([]int32, m.classes)...)
		m.rows[int(row)+int(s.label)] = s.next
		s.branch, s.next, s.label = true, row, 0
	}
	m.rows[int(s.next)+int(c)] = to
}

// link sets the fail and suffix links, level by level.
func (m *matcher) link() {
	queue := m.ways(0, nil)
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		before := len(queue)
		queue = m.ways(at, queue)
		for _, to := range queue[before:] {
			m.states[to].fail = m.follow(m.states[at].fail, m.labelOf(at, to))
		}
		fail := m.states[at].fail
		m.states[at].suffix = m.states[fail].suffix
		if m.states[fail].literal >= 0 {
			m.states[at].suffix = fail
		}
	}
}

// ways appends the states that at leads to.
func (m *matcher) ways(at int32, to []int32) []int32 {
	s := m.states[at]
	if !s.branch {
		if s.label != 0 {
			to = append(to, s.next)
		}
		return to
	}
	for _, next := range m.rows[s.next : int(s.next)+m.classes] {
		if next != 0 {
			to = append(to, next)
		}
	}
	return to
}

func (m *matcher) labelOf(at, to int32) uint16 {
	s := m.states[at]
	if !s.branch {
		return s.label
	}
	for c, next := range m.rows[s.next : int(s.next)+m.classes] {
		if next == to {
			return uint16(c)
		}
	}
	return 0
}

// follow is the state after class c, by way of the fail links.
func (m *matcher) follow(at int32, c uint16) int32 {
	for {
		if to := m.way(at, c); to != 0 {
			return to
		}
		if at == 0 {
			return 0
		}
		at = m.states[at].fail
	}
}

// scan calls found for every occurrence of every literal, ordered by end.
func (m *matcher) scan(text string, found func(literal int32, start, end int)) {
	at := int32(0)
	for i := range len(text) {
		c := m.class[text[i]]
		if c == 0 {
			at = 0
			continue
		}
		at = m.follow(at, c)
		s := at
		if m.states[s].literal < 0 {
			s = m.states[s].suffix
		}
		for ; s != 0; s = m.states[s].suffix {
			found(m.states[s].literal, i+1-int(m.states[s].length), i+1)
		}
	}
}
