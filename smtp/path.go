package smtp

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// command is the argument of MAIL or RCPT, taken apart for checking. What goes
// upstream is path and params as the client wrote them.
type command struct {
	path    string // with its angle brackets: "<a@b>", "<>"
	params  string // "SIZE=1 BODY=8BITMIME", or ""
	local   string // local part as written, quotes included; "" for <>
	domain  string // as written; "" for <> and <postmaster>
	options []option
}

// line is the command as it goes upstream.
func (c command) line() envelopeLine { return envelopeLine{path: c.path, params: c.params} }

// option is one ESMTP parameter.
type option struct {
	keyword string // upper case
	value   string // as written
	valued  bool   // an equal sign was there
}

var (
	errSyntax        = errors.New("syntax error in command")
	errBadPath       = errors.New("malformed address")
	errBadOption     = errors.New("malformed parameter")
	errLongPath      = errors.New("address is too long")
	errNotASCII      = errors.New("address is not ASCII and SMTPUTF8 was not given")
	errUnknownOption = errors.New("parameter was not offered")
)

// Longest local part and domain. RFC 5321, section 4.5.3.1 says 64 and 255;
// variable envelope return paths pass 64 in practice.
const (
	maxLocal  = 255
	maxDomain = 255
)

// parsePath takes "FROM:<a@b> SIZE=1" apart; word is "FROM" or "TO". Blanks
// before the path are let pass, as Postfix does; nothing else is repaired.
func parsePath(arg, word string) (command, error) {
	if len(arg) <= len(word) || !strings.EqualFold(arg[:len(word)], word) || arg[len(word)] != ':' {
		return command{}, errSyntax
	}
	if !utf8.ValidString(arg) || strings.IndexFunc(arg, unicode.IsControl) >= 0 {
		return command{}, errSyntax
	}
	rest := strings.TrimLeft(arg[len(word)+1:], " ")
	if rest == "" || rest[0] != '<' {
		return command{}, errBadPath
	}
	end, err := pathEnd(rest)
	if err != nil {
		return command{}, err
	}
	c := command{path: rest[:end], params: strings.TrimRight(rest[end:], " ")}
	if c.params != "" && c.params[0] != ' ' {
		return command{}, errSyntax
	}
	c.params = strings.TrimLeft(c.params, " ")
	if err := c.splitPath(); err != nil {
		return command{}, err
	}
	return c, c.splitParams()
}

// pathEnd finds the position behind the closing bracket. A bracket inside a
// quoted local part is legal and still refused: the next server may see the end
// of the path in it.
func pathEnd(s string) (int, error) {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '<':
			return 0, errBadPath
		case c == '\\' && quoted:
			i++
			if i == len(s) || s[i] > '~' || s[i] == '<' || s[i] == '>' {
				return 0, errBadPath
			}
		case c == '"':
			quoted = !quoted
		case c == '>' && quoted:
			return 0, errBadPath
		case c == '>':
			return i + 1, nil
		}
	}
	return 0, errBadPath
}

// splitPath checks the mailbox between the brackets (RFC 5321, section 4.1.2).
func (c *command) splitPath() error {
	inner := c.path[1 : len(c.path)-1]
	if inner == "" {
		return nil
	}
	if inner[0] == '@' { // source route: goes on verbatim, decides nothing
		hosts, mailbox, found := strings.Cut(inner, ":")
		if !found {
			return errBadPath
		}
		for _, h := range strings.Split(hosts, ",") {
			if len(h) < 2 || h[0] != '@' || !validDomain(h[1:]) {
				return errBadPath
			}
		}
		inner = mailbox
	}
	if strings.EqualFold(inner, "postmaster") { // RFC 5321, section 4.5.1
		c.local = inner
		return nil
	}
	end := localEnd(inner)
	if end <= 0 || end >= len(inner) || inner[end] != '@' {
		return errBadPath
	}
	c.local, c.domain = inner[:end], inner[end+1:]
	if len(c.local) > maxLocal || len(c.domain) > maxDomain {
		return errLongPath
	}
	if !validDomain(c.domain) {
		return errBadPath
	}
	return nil
}

// localEnd is the length of the local part at the start of s, -1 if there is
// none. Dots may stand anywhere: Japanese carriers gave out addresses such as
// a..b.@docomo.ne.jp for years, and they are in use.
func localEnd(s string) int {
	if s == "" {
		return -1
	}
	if s[0] != '"' {
		i := 0
		for i < len(s) && (isAtext(s[i]) || s[i] == '.') {
			i++
		}
		return i
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// isAtext is RFC 5322's atext with the octets of RFC 6531 added.
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 0x80:
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// validDomain accepts a domain, with the underscores that are found in the
// wild, or an address literal.
func validDomain(d string) bool {
	if d == "" {
		return false
	}
	if d[0] == '[' {
		return len(d) > 2 && d[len(d)-1] == ']' && strings.IndexFunc(d[1:len(d)-1], func(r rune) bool {
			return !(r == '.' || r == ':' || r == '-' || isAlnum(r))
		}) < 0
	}
	for _, label := range strings.Split(strings.TrimSuffix(d, "."), ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; c < 0x80 && !isAlnum(rune(c)) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// splitParams reads the ESMTP parameters (RFC 5321, section 4.1.2: esmtp-param).
func (c *command) splitParams() error {
	for _, word := range strings.Split(c.params, " ") {
		if word == "" {
			continue
		}
		keyword, value, valued := strings.Cut(word, "=")
		if keyword == "" || valued && value == "" {
			return errBadOption
		}
		for i := 0; i < len(keyword); i++ {
			if !isAlnum(rune(keyword[i])) && (keyword[i] != '-' || i == 0) {
				return errBadOption
			}
		}
		for i := 0; i < len(value); i++ {
			if value[i] == '=' {
				return errBadOption
			}
		}
		c.options = append(c.options, option{strings.ToUpper(keyword), value, valued})
	}
	return nil
}

// option returns the parameter with that keyword.
func (c *command) option(keyword string) (option, bool) {
	for _, o := range c.options {
		if o.keyword == keyword {
			return o, true
		}
	}
	return option{}, false
}

// ascii tells whether path and parameters are ASCII only.
func (c *command) ascii() bool {
	return strings.IndexFunc(c.path+c.params, func(r rune) bool { return r >= 0x80 }) < 0
}

// address is local part and domain without brackets, route and needless quotes:
// what a person would call the address. "" for the null path.
func (c *command) address() string {
	if c.domain == "" {
		return c.local
	}
	return unquote(c.local) + "@" + c.domain
}

// unquote takes the quotes off a local part that needs none, so that "a.b"@c and
// a.b@c are one person. Others keep them.
func unquote(local string) string {
	if len(local) < 3 || local[0] != '"' {
		return local
	}
	inner := local[1 : len(local)-1]
	if localEnd(inner) == len(inner) {
		return inner
	}
	return local
}
