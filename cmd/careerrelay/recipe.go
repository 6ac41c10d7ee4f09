package main

import (
	"cmp"
	"embed"
	"fmt"
	"net"
	"slices"
	"strings"
	"text/template"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
)

//go:embed recipes/*.tmpl
var recipes embed.FS

// recipeCommand prints the lines that lead a mail system's mail through the
// relay of a configuration.
type recipeCommand struct {
	Name    string `arg:"" enum:"m365,google,postfix,exchange,ses,ats" help:"Mail system: m365, google, postfix, exchange, ses or ats."`
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
	Company string `help:"Company; needed where the configuration has several." placeholder:"ID"`
	Relay   string `help:"Where the mail system reaches the relay; else hostname and the first of listen.smtp." placeholder:"HOST:PORT"`
	Door    string `help:"Way into Postfix: relayhost, content_filter or proxy_filter." enum:"relayhost,content_filter,proxy_filter" default:"content_filter" placeholder:"DOOR"`
	Service string `help:"Service of master.cf that proxy_filter is for." default:"submission/inet" placeholder:"NAME/TYPE"`
	Undo    bool   `help:"Print how to undo it."`
}

func (c *recipeCommand) Run(t *terminal) error {
	config, err := loadConfig(t, c.Config)
	if err != nil {
		return err
	}
	values, err := c.values(config)
	if err != nil {
		return err
	}
	recipe, err := template.ParseFS(recipes, "recipes/*.tmpl")
	if err == nil {
		recipe, err = recipe.ParseFS(recipes, "recipes/"+c.file()) // its parts are the ones that count
	}
	if err != nil {
		return fmt.Errorf("read recipe: %w", err)
	}
	what := "do"
	if c.Undo {
		what = "undo"
	}
	return recipe.ExecuteTemplate(t.stdout, what, values)
}

func (c *recipeCommand) file() string {
	if c.Name == "postfix" {
		return "postfix-" + c.Door + ".tmpl"
	}
	return c.Name + ".tmpl"
}

// recipeValues are what a recipe knows of the site.
type recipeValues struct {
	Config      string // file
	ID          string // company
	Domain      string // first of the company
	Tenant      string // the domain as Microsoft 365 names its mail host
	Hostname    string // of the relay
	Host, Port  string // where the relay is reached
	SmartHost   string // the host; in brackets if it is an address
	Local       bool   // on this machine
	TLS         bool   // STARTTLS is offered
	Cert, Key   string // files of the relay's certificate
	Upstreams   string
	Back        string // host:port of the upstream, where Postfix takes mail back
	Service     string
	CompanyLink string
	Stamp       string
	StampWord   string
}

func (c *recipeCommand) values(config *configs.Config) (recipeValues, error) {
	company, err := theCompany(config, c.Company)
	if err != nil {
		return recipeValues{}, err
	}
	hostname, err := hostnameOf(config)
	if err != nil {
		return recipeValues{}, err
	}
	host, port, err := net.SplitHostPort(cmp.Or(c.Relay, seenFrom(hostname, string(slices.Concat(config.Listen.SMTP, config.Listen.SMTPS)[0]))))
	if err != nil {
		return recipeValues{}, fmt.Errorf("read --relay: %w", err)
	}
	v := recipeValues{
		Config: c.Config, ID: string(company.ID), Domain: string(company.Domains[0]), Hostname: hostname, Host: host, Port: port, SmartHost: host,
		TLS: config.TLS.Cert != "", Cert: cmp.Or(string(config.TLS.Cert), "relay.pem"), Key: cmp.Or(string(config.TLS.Key), "relay.key"), Service: c.Service, CompanyLink: company.PublicURL.URL.JoinPath("c", string(company.ID)).String(),
		Tenant: strings.ReplaceAll(string(company.Domains[0]), ".", "-"), Stamp: smtp.StampName, StampWord: smtp.StampWord,
		Upstreams: strings.Join(texts(company.Upstream), ", "),
	}
	if ip := net.ParseIP(host); ip != nil {
		v.Local, v.SmartHost = ip.IsLoopback(), "["+host+"]"
	}
	return v, c.back(company, &v)
}

// back finds where Postfix takes the mail back, for the doors that lead through
// the same Postfix.
func (c *recipeCommand) back(company *configs.Company, v *recipeValues) error {
	if c.Name != "postfix" || c.Door == "relayhost" {
		return nil
	}
	server, err := smtp.ParseServer(string(company.Upstream[0]))
	if err != nil {
		return err
	}
	if ip := net.ParseIP(server.Host); ip == nil || !ip.IsLoopback() || server.Security != smtp.Plaintext {
		return fmt.Errorf("door %s leads back into the same Postfix: set upstream of company %q to smtp+insecure://127.0.0.1:10026, not %s, "+
			"or take --door relayhost", c.Door, company.ID, server)
	}
	v.Back = server.Address()
	return nil
}

// theCompany is the company that is asked for, or the only one.
func theCompany(config *configs.Config, id string) (*configs.Company, error) {
	all, err := someCompanies(config, id)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("%s has %d companies: say which with --company", config.File(), len(all))
	}
	return &all[0], nil
}

// seenFrom is a listener's address as other machines know it; one on loopback
// is for this machine.
func seenFrom(hostname, listener string) string {
	host, port, err := net.SplitHostPort(listener)
	if err != nil {
		return listener
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = hostname
	}
	return net.JoinHostPort(host, port)
}
