package smtp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// directory is all companies of one configuration; it never changes.
type directory struct {
	companies []*company
	users     map[string]login
}

// company is a Company at work.
type company struct {
	Company
	upstream upstream
	editor   editor
	burst    *burst
}

// login is a user and the company the user belongs to.
type login struct {
	user    *User
	company *company
}

// newDirectory checks the companies. What did not change since old goes on:
// connections to an upstream, and the burst guard's memory.
func newDirectory(o *Options, companies []Company, old *directory) (*directory, error) {
	d := &directory{users: make(map[string]login)}
	var problems []error
	for i := range companies {
		c := &company{Company: companies[i]}
		if d.byID(c.ID) != nil {
			problems = append(problems, fmt.Errorf("company %q: id is used twice", c.ID))
		}
		c.Mode, c.DKIM, c.Recipients = or(c.Mode, Insert), or(c.DKIM, SkipSigned), or(c.Recipients, PassSeveral)
		if slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Bits() == 0 }) {
			problems = append(problems, fmt.Errorf("company %q: a network of all addresses would make an open relay", c.ID))
		}
		c.Domains = make([]string, len(companies[i].Domains)) // the caller's own may be in use
		for j, domain := range companies[i].Domains {
			c.Domains[j] = strings.ToLower(domain)
		}
		for j := range c.Users {
			if c.PassAuth {
				break // the upstream knows them
			}
			u := &c.Users[j]
			if _, taken := d.users[u.Name]; taken {
				problems = append(problems, fmt.Errorf("company %q: user %q is there twice", c.ID, u.Name))
			}
			d.users[u.Name] = login{u, c}
		}
		if err := c.equip(o, old.byID(c.ID)); err != nil {
			problems = append(problems, fmt.Errorf("company %q: %w", c.ID, err))
		}
		d.companies = append(d.companies, c)
	}
	if open := d.openPassing(); len(open) > 1 || len(open) == 1 && len(d.users) > 0 {
		problems = append(problems, fmt.Errorf("company %q: whose login it is must show: networks or client names are required", open[0].ID))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return d, nil
}

// openPassing are the companies that hand logins on from wherever they come.
func (d *directory) openPassing() []*company {
	var all []*company
	for _, c := range d.companies {
		if c.PassAuth && len(c.Networks) == 0 && len(c.ClientNames) == 0 {
			all = append(all, c)
		}
	}
	return all
}

// passing is the company whose upstream logs the client in; nil if none does.
func (d *directory) passing(c client) *company {
	if l, err := d.lookup(c); err == nil {
		if l.company.PassAuth {
			return l.company
		}
		return nil
	}
	if open := d.openPassing(); len(open) == 1 {
		return open[0]
	}
	return nil
}

// user is the company's user of that name; nil if there is none.
func (c *company) user(name string) *User {
	for i := range c.Users {
		if c.Users[i].Name == name {
			return &c.Users[i]
		}
	}
	return nil
}

// equip gives the company its upstream, its editor and its burst guard.
func (c *company) equip(o *Options, old *company) error {
	if c.burst = newBurst(c.ID, o.Referrals); old != nil {
		c.burst = old.burst
	}
	c.upstream, c.editor = c.Company.upstream, c.Company.editor
	if c.PassAuth && (c.Upstream == nil || c.Upstream.o.Auth != nil) {
		return errors.New("logins can be handed on to an upstream only that the relay does not log in at itself")
	}
	if c.upstream == nil {
		if c.Upstream == nil {
			return errors.New("an upstream is required")
		}
		c.upstream = c.Upstream
	}
	if c.editor != nil {
		return nil
	}
	if c.Rules == nil || c.Block == nil {
		return errors.New("Rules and Block are required")
	}
	link, optOut := o.Link(c.ID, "")
	c.editor = &rewriter{company: &c.Company, limits: o.Limits.Inspect, budget: o.Timeouts.Inspect, known: []string{link, optOut}}
	return nil
}

// closeUnused closes the upstreams of d that next does not use any more.
func (d *directory) closeUnused(next *directory) error {
	if d == nil {
		return nil
	}
	var problems []error
	for _, c := range d.companies {
		used := next != nil && slices.ContainsFunc(next.companies, func(n *company) bool { return n.Upstream == c.Upstream })
		if c.Upstream != nil && !used {
			problems = append(problems, c.Upstream.Close())
		}
	}
	return errors.Join(problems...)
}

func (d *directory) byID(id string) *company {
	if d == nil {
		return nil
	}
	for _, c := range d.companies {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// client is what is known about the other side of a session.
type client struct {
	addr      netip.Addr
	names     []string // in its verified certificate
	certified bool     // it has one
	passed    string   // id of the company at whose upstream it logged in; "" for none
	user      string   // logged in as
}

// lookup finds the company that the client may send for: by login, else by
// certificate, else by the smallest network. The sender's address never decides.
func (d *directory) lookup(c client) (login, error) {
	if c.passed != "" {
		if co := d.byID(c.passed); co != nil && co.PassAuth {
			return login{co.user(c.user), co}, nil
		}
		return login{}, errNotAllowed // changed by a reload
	}
	if c.user != "" {
		if l, found := d.users[c.user]; found {
			return l, nil
		}
		return login{}, errNotAllowed // removed by a reload
	}
	for _, co := range d.companies {
		if slices.ContainsFunc(co.ClientNames, func(n string) bool { return hasName(c.names, n) }) {
			return login{company: co}, nil
		}
	}
	var best login
	bits := -1
	for _, co := range d.companies {
		for _, n := range co.Networks {
			if n.Contains(c.addr) && n.Bits() > bits {
				best, bits = login{company: co}, n.Bits()
			}
		}
	}
	switch {
	case best.company != nil:
		return best, nil
	case len(d.users) > 0 || len(d.openPassing()) > 0:
		return login{}, errAuthNeeded
	}
	return login{}, errNotAllowed
}

func hasName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// possible is the companies the client may turn out to send for: EHLO comes
// before the login, and must promise no more than all of them can keep.
func (d *directory) possible(c client) []*company {
	if l, err := d.lookup(c); err == nil {
		return []*company{l.company}
	}
	var all []*company
	for _, co := range d.companies {
		if len(co.Users) > 0 || co.PassAuth {
			all = append(all, co)
		}
	}
	return all
}

// owns tells whether an address's domain is one of the company's, or below one.
func (c *company) owns(domain string) bool { return inDomains(c.Domains, domain) }

func inDomains(domains []string, domain string) bool {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	return slices.ContainsFunc(domains, func(own string) bool {
		return domain == own || strings.HasSuffix(domain, "."+own)
	})
}
