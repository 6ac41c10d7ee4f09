package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/careerrelay/careerrelay/configs"
)

// doctorCommand holds a configuration against the world it will live in.
type doctorCommand struct {
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
	JSON    bool   `name:"json" help:"A list of objects for scripts."`
	Company string `help:"Look at this company only." placeholder:"ID"`
	SendTo  string `help:"Send a test mail to this address through each company's upstream." placeholder:"ADDRESS"`
}

func (c *doctorCommand) Run(t *terminal) error {
	config, err := loadConfig(t, c.Config)
	if err != nil {
		return err
	}
	companies, err := someCompanies(config, c.Company)
	if err != nil {
		return err
	}
	d := newDoctor(config, companies)
	d.examine(t.ctx, c.SendTo)
	if c.JSON {
		err = writeJSON(t.stdout, d.observed)
	} else {
		printObservations(t.stdout, d.observed)
	}
	if err == nil && d.worst() == failed {
		return errSaid
	}
	return err
}

// someCompanies are the companies of a configuration, or the one that is asked for.
func someCompanies(config *configs.Config, id string) ([]configs.Company, error) {
	if id == "" {
		return config.Companies, nil
	}
	for i, one := range config.Companies {
		if string(one.ID) == id {
			return config.Companies[i : i+1], nil
		}
	}
	return nil, fmt.Errorf("there is no company %q in %s", id, config.File())
}

// health is the outcome of one look.
type health string

const (
	fine    health = "ok"
	warning health = "warning" // works, and may not for everybody or for ever
	failed  health = "failed"  // mail or candidates suffer
	skipped health = "skipped" // cannot be told from here
)

// observation is one line of the doctor's output: a contract for scripts. It
// holds no secret and nothing of a mail.
type observation struct {
	Subject string `json:"subject"` // what was looked at: "upstream smtp://mail.example:25 of sample"
	Health  health `json:"health"`
	Detail  string `json:"detail"`           // what was seen
	Advice  string `json:"advice,omitempty"` // what to do
}

// doctor looks at everything a configuration names. Nothing it does changes the
// relay, its store or its keys.
type doctor struct {
	config    *configs.Config
	companies []configs.Company // that are looked at
	hostname  string
	now       func() time.Time
	lookup    func(ctx context.Context, host string) ([]string, error)
	lookupTXT func(ctx context.Context, name string) ([]string, error)
	roots     *x509.CertPool // nil: the system's
	observed  []observation
}

func newDoctor(config *configs.Config, companies []configs.Company) *doctor {
	return &doctor{config: config, companies: companies, now: time.Now, lookup: net.DefaultResolver.LookupHost, lookupTXT: net.DefaultResolver.LookupTXT}
}

// examine looks at everything, in the order in which an admin mends it. A test
// mail goes to the address, unless it is "".
func (d *doctor) examine(ctx context.Context, sendTo string) {
	d.configuration()
	d.host(ctx)
	d.certificate()
	d.secrets()
	d.running(ctx)
	for _, a := range d.config.Listen.SMTP {
		d.listener(ctx, a, false)
	}
	for _, a := range d.config.Listen.SMTPS {
		d.listener(ctx, a, true)
	}
	for i := range d.companies {
		company := &d.companies[i]
		d.upstream(ctx, company)
		d.signatures(ctx, company)
		d.linkHost(ctx, company)
		d.passage(ctx, company)
		if sendTo != "" {
			d.testMail(ctx, company, sendTo)
		}
	}
}

func (d *doctor) say(subject string, h health, advice, detail string, args ...any) {
	d.observed = append(d.observed, observation{Subject: subject, Health: h, Detail: fmt.Sprintf(detail, args...), Advice: advice})
}

// worst is failed if anything is, else warning if anything is, else fine.
func (d *doctor) worst() health {
	worst := fine
	for _, o := range d.observed {
		if o.Health == failed || o.Health == warning && worst == fine {
			worst = o.Health
		}
	}
	return worst
}

func printObservations(w io.Writer, all []observation) {
	counts := map[health]int{}
	for _, o := range all {
		counts[o.Health]++
		fmt.Fprintf(w, "%-8s %s: %s\n", o.Health, o.Subject, o.Detail)
		if o.Advice != "" {
			fmt.Fprintf(w, "         -> %s\n", o.Advice)
		}
	}
	fmt.Fprintf(w, "\n%s, %d ok, %d not looked at\n", count(counts[failed], "failure", "failures")+", "+
		count(counts[warning], "warning", "warnings"), counts[fine], counts[skipped])
}
