package configs

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Dashboard says who may look at the dashboard. Its address is listen.dashboard.
type Dashboard struct {
	// Web address of the dashboard in browsers, path included, such as https://career.example.co.jp/admin.
	PublicURL URL `yaml:"public_url"`
	// People who log in with a password.
	Users []DashboardUser `yaml:"users"`
	// Login through OpenID Connect.
	OIDC OIDC `yaml:"oidc"`
	// A login ends when unused for this time.
	Idle Duration `yaml:"idle"`
	// A login ends after this time in any case.
	Session Duration `yaml:"session"`
}

// Role is what somebody may see on the dashboard.
type Role string

func (Role) choices() []string          { return []string{"hr", "it", "agency", "auditor"} }
func (r *Role) parse(text string) error { return choose(r, text) }

// DashboardUser is somebody who logs in with a password.
type DashboardUser struct {
	// Name at login; it stands in the journal.
	Name string `yaml:"name" jsonschema:"required"`
	// hr sees counts and credits, it health and rules, agency credits to honour and what waits for it,
	// auditor chains, consents and the journal. Nobody sees a candidate.
	Role Role `yaml:"role" jsonschema:"required"`
	// Ids of the companies that the user may see; empty for all.
	Companies []ID `yaml:"companies"`
	// argon2id hash of the password, as "careerrelay hash --dashboard" prints it.
	Hash Hash `yaml:"hash" jsonschema:"required"`
}

// OIDC is an issuer of OpenID Connect. The address to register there is public_url
// with /login/callback added.
type OIDC struct {
	// Its name on the login page.
	Name string `yaml:"name"`
	// Its URL, as it stands in its tokens.
	Issuer URL `yaml:"issuer"`
	// Id under which the dashboard is registered there.
	ClientID string `yaml:"client_id"`
	// Secret for that id: the name of a file that holds it, or env:NAME.
	ClientSecret Secret `yaml:"client_secret"`
	// Scopes to ask for besides openid.
	Scopes []string `yaml:"scopes"`
	// Claim of the id token whose values decide, such as groups.
	Claim string `yaml:"claim"`
	// Who gets which role; the first that fits.
	Roles []OIDCRole `yaml:"roles"`
}

// OIDCRole gives everybody with a value of the claim a role.
type OIDCRole struct {
	// Value of the claim, such as the name of a group.
	Value string `yaml:"value" jsonschema:"required"`
	// The role; see users.
	Role Role `yaml:"role" jsonschema:"required"`
	// Ids of the companies that they may see; empty for all.
	Companies []ID `yaml:"companies"`
}

// Set reports whether an issuer is configured.
func (o OIDC) Set() bool { return o.Issuer.Host != "" }

func (v validation) dashboard() {
	d := &v.c.Dashboard
	on, anyone := v.c.Listen.Dashboard != "", len(d.Users) > 0 || d.OIDC.Set()
	switch {
	case on && !anyone && !v.broken("dashboard"):
		v.fail("listen.dashboard", "add dashboard: {public_url: …, users: […]}", "nobody could log in: there is no dashboard.users and no dashboard.oidc")
	case !on && anyone:
		v.fail("dashboard", "add listen: {dashboard: 127.0.0.1:8081}", "is served nowhere: listen.dashboard is missing")
	case !on:
		return
	}
	v.dashboardURL(d.PublicURL)
	names := map[string]bool{}
	for i, u := range d.Users {
		at := fmt.Sprintf("dashboard.users[%d]", i)
		v.want(at+".name", strings.TrimSpace(u.Name) != "", "")
		v.want(at+".role", u.Role != "", "hr, it, agency or auditor")
		v.want(at+".hash", u.Hash != "", `make one with "careerrelay hash --dashboard"`)
		if u.Hash != "" && !strings.HasPrefix(string(u.Hash), "$argon2id$") {
			v.fail(at+".hash", `make one with "careerrelay hash --dashboard"`, "is not an argon2id hash")
		}
		if names[u.Name] {
			v.fail(at+".name", "", "is the name of another user too")
		}
		names[u.Name] = true
		v.dashboardCompanies(at, u.Companies)
	}
	if d.OIDC.Set() {
		v.oidc(&d.OIDC)
	}
	for key, span := range map[string]Duration{"idle": d.Idle, "session": d.Session} {
		if time.Duration(span) < time.Minute && !v.broken("dashboard."+key) {
			v.fail("dashboard."+key, "remove the key to get the default", "must be at least 1m")
		}
	}
}

func (v validation) dashboardURL(u URL) {
	v.want("dashboard.public_url", u.Host != "", "write how browsers reach it: https://career.example.co.jp/admin")
	if u.Host == "" {
		return
	}
	if u.RawQuery != "" || u.Fragment != "" {
		v.fail("dashboard.public_url", "paths are added to it", "must not have a query or fragment")
	}
	if u.Scheme == "http" && !loopbackHost(u.Hostname()) {
		v.fail("dashboard.public_url", "use https:// and a web server with TLS in front of listen.dashboard", "passwords would be sent without encryption")
	}
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (v validation) dashboardCompanies(at string, ids []ID) {
	for i, id := range ids {
		if !slices.ContainsFunc(v.c.Companies, func(c Company) bool { return c.ID == id }) {
			v.fail(fmt.Sprintf("%s.companies[%d]", at, i), "", "there is no company %q", id)
		}
	}
}

func (v validation) oidc(o *OIDC) {
	v.want("dashboard.oidc.name", o.Name != "", "write what the button shall say, such as the name of your company's login")
	v.want("dashboard.oidc.client_id", o.ClientID != "", "register the dashboard at the issuer, with public_url/login/callback")
	v.want("dashboard.oidc.claim", o.Claim != "", "name the claim that holds the groups, such as groups")
	v.want("dashboard.oidc.roles", len(o.Roles) > 0, "say which group has which role: [{value: hr-team, role: hr}]")
	v.want("dashboard.oidc.client_secret", o.ClientSecret.Set(), "name a file, or env:NAME")
	if o.Issuer.Scheme == "http" && !loopbackHost(o.Issuer.Hostname()) {
		v.fail("dashboard.oidc.issuer", "use https://", "whoever stands between could log in as anybody")
	}
	for i, r := range o.Roles {
		at := fmt.Sprintf("dashboard.oidc.roles[%d]", i)
		v.want(at+".value", r.Value != "", "")
		v.want(at+".role", r.Role != "", "hr, it, agency or auditor")
		v.dashboardCompanies(at, r.Companies)
	}
	if o.ClientSecret.Set() {
		o.ClientSecret.base = filepath.Dir(v.c.file)
		if _, err := o.ClientSecret.Read(); err != nil {
			v.fail("dashboard.oidc.client_secret", hintOf(err), "%v", err)
		}
	}
}
