package configs

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/rewrite"
)

// validation checks what no single value shows, and collects every mistake.
type validation struct {
	c        *Config
	d        *decoder
	compiled map[string]*rewrite.Rules // by the list of files; nil: with mistakes
}

func validate(c *Config, d *decoder) {
	v := validation{c: c, d: d, compiled: map[string]*rewrite.Rules{}}
	v.listen()
	v.tls()
	v.agency()
	v.handOver()
	v.bounds()
	v.store()
	v.retention()
	v.companies()
	v.dashboard()
	v.openRelay()
}

// fail reports a mistake at the value of key, or at its nearest parent in the file.
func (v validation) fail(key, hint, format string, args ...any) {
	v.d.add(v.place(key), key, fmt.Sprintf(format, args...), hint)
}

func (v validation) warn(key, hint, format string, args ...any) {
	v.fail(key, hint, format, args...)
	v.d.problems[len(v.d.problems)-1].Warning = true
}

func (v validation) place(key string) mark {
	for {
		at, found := v.d.at[key]
		if found || key == "" {
			return at
		}
		key = parent(key)
	}
}

// parent is the key path that key is part of; "" is the whole file.
func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

// set tells whether the file has the key; a value with a mistake counts.
func (v validation) set(key string) bool {
	_, found := v.d.at[key]
	return found
}

// broken tells whether a mistake was found at the key already, so that its value
// says nothing.
func (v validation) broken(key string) bool {
	for _, p := range v.d.problems {
		if p.Key == key && !p.Warning {
			return true
		}
	}
	return false
}

// want reports a key that must be there, unless a mistake explains already why
// it is not.
func (v validation) want(key string, present bool, hint string) {
	if !present && !v.broken(key) && !v.lost(key) {
		v.fail(key, hint, "is missing")
	}
}

// lost tells whether the key is misspelt in the file, or lies in something that
// could not be read.
func (v validation) lost(key string) bool {
	for {
		if v.d.meant[key] || v.d.unread[key] {
			return true
		}
		if key == "" {
			return false
		}
		key = parent(key)
	}
}

func (v validation) listen() {
	v.want("listen.smtp", len(v.c.Listen.SMTP)+len(v.c.Listen.SMTPS) > 0, `say where to take mail: listen: {smtp: ["127.0.0.1:2525"]}`)
	v.want("listen.web", v.c.Listen.Web != "", "say where candidates' pages are: 127.0.0.1:8080, behind a web server with TLS")
	seen, addresses := map[Address]string{}, v.addresses()
	for _, key := range slices.Sorted(maps.Keys(addresses)) {
		a := addresses[key]
		if first, double := seen[a]; double && !strings.HasSuffix(string(a), ":0") {
			v.fail(key, "give each its own port", "is the same address as %s", first)
		}
		seen[a] = key
	}
	if a := v.c.Listen.Admin; a != "" && !a.Loopback() && !v.broken("listen.admin") {
		v.fail("listen.admin", "use 127.0.0.1:9090, and a proxy with a password if it must be reached from elsewhere",
			"the admin listener has no password and can be reached from other machines")
	}
	for i, n := range v.c.Listen.ProxyProtocol {
		if n.IsValid() && n.Bits() == 0 {
			v.fail(fmt.Sprintf("listen.proxy_protocol[%d]", i), "name the load balancers' addresses alone",
				"everyone could claim any client address")
		}
	}
	v.listenTLS()
}

// listenTLS checks the doors that need TLS.
func (v validation) listenTLS() {
	l, t := v.c.Listen, v.c.TLS
	if len(l.SMTPS) > 0 && t.Cert == "" {
		v.fail("listen.smtps", "add tls: {cert: …, key: …}", "needs a certificate, and there is none")
	}
	for i, a := range l.RequireCertificate {
		key := fmt.Sprintf("listen.require_certificate[%d]", i)
		switch {
		case a == "": // said already
		case !slices.Contains(l.SMTP, a) && !slices.Contains(l.SMTPS, a):
			v.fail(key, "write it as it stands in listen.smtp or listen.smtps", "%s takes no mail", a)
		case t.ClientCA == "":
			v.fail(key, "add tls.client_ca", "no authority is named whose client certificates are believed")
		}
	}
}

func (v validation) addresses() map[string]Address {
	all := map[string]Address{
		"listen.web": v.c.Listen.Web, "listen.admin": v.c.Listen.Admin, "listen.metrics": v.c.Listen.Metrics, "listen.agency": v.c.Listen.Agency,
		"listen.dashboard": v.c.Listen.Dashboard,
	}
	for i, a := range v.c.Listen.SMTP {
		all[fmt.Sprintf("listen.smtp[%d]", i)] = a
	}
	for i, a := range v.c.Listen.SMTPS {
		all[fmt.Sprintf("listen.smtps[%d]", i)] = a
	}
	for key, a := range all {
		if a == "" {
			delete(all, key)
		}
	}
	return all
}

func (v validation) tls() {
	t := v.c.TLS
	if (t.Cert == "") != (t.Key == "") {
		v.fail("tls", "give both", "cert and key belong together")
	}
	if t.ClientCA != "" && t.Cert == "" {
		v.fail("tls.client_ca", "add cert and key", "client certificates need a server certificate")
	}
	for key, p := range map[string]Path{"tls.cert": t.Cert, "tls.key": t.Key, "tls.client_ca": t.ClientCA} {
		if p == "" {
			continue
		}
		if _, err := os.ReadFile(v.c.Path(p)); err != nil {
			v.fail(key, "relative names start from the folder of this file; the relay's user must be able to read it",
				"cannot be read: %v", rootCause(err))
		}
	}
	if _, err := v.c.TLSConfig(); err != nil && !v.broken("tls.cert") && !v.broken("tls.key") && !v.broken("tls.client_ca") && !v.broken("tls") {
		v.fail("tls", "", "%v", err)
	}
}

func (v validation) agency() {
	if !v.set("agency") {
		v.want("agency", false,
			"add name, licence, address, contact and privacy_policy of the recruiting agency: the law wants them on every page")
		return
	}
	a := v.c.Agency
	v.want("agency.name", strings.TrimSpace(a.Name) != "", "write the agency's legal name")
	v.want("agency.licence", a.Licence != "", "write the licence number, such as 13-ユ-123456")
	v.want("agency.address", strings.TrimSpace(a.Address) != "", "write the postal address")
	v.want("agency.contact", strings.TrimSpace(a.Contact) != "", "write a mail address or telephone number")
	v.want("agency.privacy_policy", a.PrivacyPolicy.Host != "", "write the web address of the privacy policy")
	v.latinName("agency.name_en", a.NameEN, a.Name)
	if a.Licence != "" && !a.Licence.usual() && !v.broken("agency.licence") {
		hint := "the usual form is 13-ユ-123456"
		if tidy := Licence(normalLicence(string(a.Licence))); tidy.usual() {
			hint = fmt.Sprintf("did you mean %s?", string(tidy))
		}
		v.warn("agency.licence", hint, "%q does not look like a licence for fee-charging employment placement", string(a.Licence))
	}
}

// latinName checks that English mails can carry a name.
func (v validation) latinName(key, latin, name string) {
	beyond := func(r rune) bool { return r < ' ' || r > '~' }
	switch {
	case strings.ContainsFunc(latin, beyond):
		v.fail(key, "use Latin letters, digits and ordinary punctuation", "%q is not ASCII", latin)
	case latin == "" && strings.ContainsFunc(name, beyond) && !v.broken(key):
		v.warn(key, "add the name in Latin letters", "is missing: English mails in US-ASCII pass unedited, for they cannot carry %q", name)
	}
}

func (v validation) bounds() {
	l := v.c.Limits
	for key, n := range map[string]int64{
		"message_size": int64(l.MessageSize), "window": int64(l.Window), "memory": int64(l.Memory), "connections": int64(l.Connections),
		"connections_per_ip": int64(l.ConnectionsPerIP), "recipients": int64(l.Recipients), "received": int64(l.Received),
		"header_bytes": int64(l.HeaderBytes), "parts": int64(l.Parts), "depth": int64(l.Depth), "text_bytes": int64(l.TextBytes),
	} {
		if n <= 0 && !v.broken("limits."+key) {
			v.fail("limits."+key, "remove the key to get the default", "must be more than 0")
		}
	}
	if l.Window > l.MessageSize {
		v.warn("limits.window", "", "is larger than message_size: every message is kept in memory")
	}
	t := v.c.Timeouts
	for key, d := range map[string]Duration{
		"command": t.Command, "data": t.Data, "connect": t.Connect, "reply": t.Reply, "transaction": t.Transaction, "inspect": t.Inspect,
		"drain": t.Drain,
	} {
		if time.Duration(d) < time.Second && !v.broken("timeouts."+key) {
			v.fail("timeouts."+key, "remove the key to get the default", "must be at least 1s")
		}
	}
}

// recordsFloor is three years: 個人情報保護法 29条, 30条 and the rules to them.
const recordsFloor = Duration(3 * 366 * day)

func (v validation) retention() {
	if v.c.Ratio < 1 && !v.broken("ratio") {
		v.fail("ratio", "", "must be 1 or more")
	}
	if time.Duration(v.c.LinkLife) < day && !v.broken("link_life") {
		v.fail("link_life", "90d is the default", "must be at least 1d: candidates read mail late")
	}
	if v.c.CoolingOff <= 0 && !v.broken("cooling_off") {
		v.fail("cooling_off", "7d is the default", "must be more than 0: a withdrawal at once must not count")
	}
	for key, d := range map[string]Duration{"unused": v.c.Retention.Unused, "profile": v.c.Retention.Profile,
		"withdrawn": v.c.Retention.Withdrawn, "letters": v.c.Retention.Letters} {
		if d <= 0 && !v.broken("retention."+key) {
			v.fail("retention."+key, "remove the key to get the default", "must be more than 0")
		}
	}
	if v.c.Retention.Records < recordsFloor && !v.broken("retention.records") {
		v.fail("retention.records", "write 3y or more", "records of consent and hand-over must be kept for three years by law, not %s",
			v.c.Retention.Records)
	}
}

func (v validation) companies() {
	v.want("companies", len(v.c.Companies) > 0, "name at least one company")
	ids, domains := map[ID]int{}, map[Domain]int{}
	for i := range v.c.Companies {
		c, key := &v.c.Companies[i], fmt.Sprintf("companies[%d]", i)
		v.company(c, key)
		if first, double := ids[c.ID]; double && c.ID != "" {
			v.fail(key+".id", "each company needs its own", "companies[%d] has the same id", first)
		} else {
			ids[c.ID] = i
		}
		for j, d := range c.Domains {
			if first, double := domains[d]; double && first != i && d != "" {
				v.fail(fmt.Sprintf("%s.domains[%d]", key, j), "", "companies[%d] has the same domain", first)
			}
			domains[d] = i
		}
	}
}

func (v validation) company(c *Company, key string) {
	v.want(key+".id", c.ID != "", "give it a short name, such as sample")
	v.want(key+".name", strings.TrimSpace(c.Name) != "", "write the name that candidates know")
	v.want(key+".domains", len(c.Domains) > 0, "list the company's mail domains: its own people are never candidates")
	v.want(key+".public_url", c.PublicURL.Host != "", "write the web address that links begin with")
	v.want(key+".upstream", len(c.Upstream) > 0, "name the mail server that takes the company's mail, such as smtp://mx.example.co.jp:25")
	v.latinName(key+".name_en", c.NameEN, c.Name)
	v.publicURL(c, key)
	v.sender(c, key)
	v.wordings(c, key)
	v.users(c, key)
	if c.Ratio < 0 && !v.broken(key+".ratio") {
		v.fail(key+".ratio", "remove the key to use the ratio of all", "must be 1 or more")
	}
	if c.Burst.Insertions < 1 && !v.broken(key+".burst.insertions") {
		v.fail(key+".burst.insertions", "use mode: observe to insert nothing", "must be 1 or more")
	}
	if c.Burst.Factor < 0 && !v.broken(key+".burst.factor") {
		v.fail(key+".burst.factor", "use 0 to allow no more than insertions", "must be 0 or more")
	}
	if w := time.Duration(c.Burst.Window); (w < 5*time.Minute || w > 7*day) && !v.broken(key+".burst.window") {
		v.fail(key+".burst.window", "", "must be 5m to 168h")
	}
	v.upstreamAuth(c, key)
	v.upstreamTLS(c, key)
	v.dkim(c, key)
	v.rules(c, key)
	v.ruleWordings(c, key)
}

// linkColumns is the longest public_url so that the whole link stays below 70
// columns: "/", 2 for the route, 26 for the token.
const linkColumns = 70 - 30

func (v validation) publicURL(c *Company, key string) {
	u := c.PublicURL
	if u.Host == "" {
		return
	}
	if u.RawQuery != "" || u.Fragment != "" {
		v.fail(key+".public_url", "the link is made by adding a path", "must not have a query or fragment")
	}
	if n := len(u.String()); n > linkColumns {
		v.warn(key+".public_url", "a shorter host keeps links whole in mail programs", "is %d characters long: links would be wider than 70 columns", n)
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || err == nil && ip.IsLoopback()
	switch {
	case u.Scheme == "http" && !local:
		v.warn(key+".public_url", "use https:// and a web server with TLS in front of listen.web", "candidates would type their data without encryption")
	case local && !v.loopbackOnly():
		v.warn(key+".public_url", "use a host name that the Internet knows", "candidates cannot open links to this machine")
	}
}

// sender wants a domain that the company's own mail system vouches for.
func (v validation) sender(c *Company, key string) {
	d := c.Sender.Domain()
	if d == "" || v.broken(key+".domains") {
		return
	}
	for _, own := range c.Domains {
		if d == own || strings.HasSuffix(string(d), "."+string(own)) {
			return
		}
	}
	v.warn(key+".sender", "use an address of the company: SPF, DKIM and DMARC must cover it",
		"%s is none of the company's domains: receivers may take the mails for forged", d)
}

// rules compiles the company's rules, which runs their examples; mistakes are
// reported in the rule files, each file once.
func (v validation) rules(c *Company, key string) {
	names := v.c.ruleNames(c)
	if len(names) == 0 {
		v.fail(key+".rules", "builtin:ja and builtin:en are in the program", "names no rules")
		return
	}
	if !v.rulesExist(c, names, key) {
		return
	}
	list := strings.Join(names, "\n")
	if known, done := v.compiled[list]; done {
		c.compiled = known
		return
	}
	if len(v.d.problems.Mistakes()) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !strings.HasPrefix(n, builtin) }) {
		return // the file is refused anyhow, and built-in rules have no mistakes to report
	}
	rules, err := loadRules(names)
	v.compiled[list] = rules
	if problems, ok := errors.AsType[Problems](err); ok {
		v.d.elsewhere = append(v.d.elsewhere, problems...)
		return
	}
	if err != nil {
		v.fail(key+".rules", "", "%v", err)
		return
	}
	c.compiled = rules
}

// rulesExist checks that each name leads to rules.
func (v validation) rulesExist(c *Company, names []string, key string) bool {
	all := true
	for i, name := range names {
		at := fmt.Sprintf("%s.rules[%d]", key, i)
		if strings.HasPrefix(name, builtin) {
			if !slices.Contains(BuiltinRules(), name) {
				v.fail(at, "built in: "+strings.Join(BuiltinRules(), ", "), "there are no built-in rules %q", name)
				all = false
			}
			continue
		}
		if _, err := os.ReadFile(name); err != nil {
			v.fail(at, "relative names start from the folder of this file", "%s cannot be read: %v", c.Rules[i], rootCause(err))
			all = false
		}
	}
	return all
}

// wordings loads the company's texts; mistakes in a file of its own are reported
// in that file.
func (v validation) wordings(c *Company, key string) {
	var files []string
	for _, p := range c.WordingFiles {
		files = append(files, v.c.Path(p))
	}
	loaded, err := loadWordings(files)
	if problems, ok := errors.AsType[Problems](err); ok {
		v.d.elsewhere = append(v.d.elsewhere, problems...)
		return
	}
	if err != nil {
		v.fail(key+".wording_files", "relative names start from the folder of this file", "%v", err)
		return
	}
	c.wordings = loaded
	if families := loaded.Families(); !slices.Contains(families, c.Wording) && !v.broken(key+".wording") {
		v.fail(key+".wording", "known: "+strings.Join(families, ", "), "there is no wording %q", c.Wording)
	}
}

// ruleWordings checks that the wordings which rules ask for are there.
func (v validation) ruleWordings(c *Company, key string) {
	if c.compiled == nil || c.wordings.byID == nil {
		return // said already
	}
	families := append(c.wordings.Families(), leaverFamily)
	wordings := c.compiled.Wordings()
	for _, id := range slices.Sorted(maps.Keys(wordings)) {
		if !slices.Contains(families, wordings[id]) {
			v.fail(key+".rules", "known: "+strings.Join(families, ", "), "rule %q asks for the wording %q, which no file has", id, wordings[id])
		}
	}
}

func (v validation) loopbackOnly() bool {
	for _, a := range append(slices.Clone(v.c.Listen.SMTP), v.c.Listen.SMTPS...) {
		if a != "" && !a.Loopback() {
			return false
		}
	}
	return true
}

func (v validation) users(c *Company, key string) {
	names := map[string]bool{}
	for i, u := range c.Accept.Users {
		at := fmt.Sprintf("%s.accept.users[%d]", key, i)
		v.want(at+".name", u.Name != "", "")
		switch {
		case c.UpstreamAuth.Mechanism != ByClient:
			v.want(at+".hash", u.Hash != "", `make one with "careerrelay hash"`)
		case u.Hash != "":
			v.fail(at+".hash", "remove it", "is not used: with mechanism pass the upstream checks the password")
		}
		if names[u.Name] {
			v.fail(at+".name", "", "is the name of another user too")
		}
		names[u.Name] = true
	}
	if len(c.Accept.Users) > 0 && v.c.TLS.Cert == "" && c.UpstreamAuth.Mechanism != ByClient {
		v.fail(key+".accept.users", "add tls: {cert: …, key: …}", "passwords are taken under TLS only, and there is no certificate")
	}
	if len(c.Accept.ClientNames) > 0 && v.c.TLS.ClientCA == "" {
		v.fail(key+".accept.client_names", "add tls.client_ca", "no authority is named whose client certificates are believed")
	}
}

// openRelay refuses what would let strangers send mail through us: a listener
// that other machines reach, for a company that does not say who may send.
func (v validation) openRelay() {
	for i, c := range v.c.Companies {
		key := fmt.Sprintf("companies[%d].accept", i)
		for j, n := range c.Accept.Networks {
			if n.IsValid() && n.Bits() == 0 {
				v.fail(fmt.Sprintf("%s.networks[%d]", key, j), "list the addresses of your own mail servers",
					"every machine of the Internet could send mail through this relay")
			}
		}
		none := len(c.Accept.Networks) == 0 && len(c.Accept.Users) == 0 && len(c.Accept.ClientNames) == 0 &&
			c.UpstreamAuth.Mechanism != ByClient // the upstream says who may send
		if none && !v.loopbackOnly() && !v.broken(key+".networks") && !v.broken(key+".users") {
			v.fail(key, "list networks, users or client_names, or listen on 127.0.0.1 alone",
				"would be an open relay: the mail port can be reached from other machines, and nothing says who may send")
		}
	}
}
