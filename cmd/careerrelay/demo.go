package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/rewrite"
)

//go:embed demo/*.eml
var demoMails embed.FS

//go:embed demo/careerrelay.yaml.tmpl
var demoConfig string

// demoDomain is the domain of the sample company.
const demoDomain = "sample.example.jp"

// demoCommand shows the whole product on one machine, with nothing to install.
type demoCommand struct {
	SMTP  string `name:"smtp" help:"Where the relay takes mail." default:"127.0.0.1:2525" placeholder:"ADDRESS"`
	Web   string `help:"Where the pages and the inbox are." default:"127.0.0.1:8080" placeholder:"ADDRESS"`
	Admin string `help:"Where metrics and health are." default:"127.0.0.1:9090" placeholder:"ADDRESS"`
	Data  string `help:"Folder that keeps the data; without it a temporary one." placeholder:"DIR"`
	Once  bool   `help:"Stop after the four mails."`
}

func (c *demoCommand) Run(t *terminal) error {
	dir, remove, err := demoFolder(c.Data)
	if err != nil {
		return err
	}
	defer remove()
	d, err := c.start(dir, t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	err = d.show(ctx, t)
	if err != nil || c.Once {
		cancel()
	} else {
		fmt.Fprintf(t.stdout, "\nSend mail of your own to %s, from an address at %s. Ctrl-C stops.\n", d.smtp, demoDomain)
	}
	err = errors.Join(err, d.server.untilStopped(ctx))
	fmt.Fprintln(t.stdout, "Stopped.")
	return err
}

// demoFolder is where the demo keeps its data, and how to clean up.
func demoFolder(asked string) (dir string, remove func(), err error) {
	if asked != "" {
		return asked, func() {}, os.MkdirAll(asked, 0o700)
	}
	dir, err = os.MkdirTemp("", "careerrelay-demo-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// demo is a relay between a client and a mail server that are both ours.
type demo struct {
	server           *server
	inspector        *inspector
	box              *inbox
	smtp, web, admin string // addresses, as they are
}

// start brings up the mail server, then the relay in front of it.
func (c *demoCommand) start(dir string, t *terminal) (*demo, error) {
	l, err := openListeners(configs.Listen{
		SMTP: []configs.Address{configs.Address(c.SMTP)}, Web: configs.Address(c.Web), Admin: configs.Address(c.Admin),
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w (--smtp, --web, --admin)", err)
	}
	d := &demo{box: newInbox(), smtp: l.smtp[0].Addr().String(), web: l.web.Addr().String(), admin: l.admin.Addr().String()}
	l.smtp[0].Listener = tapListener{l.smtp[0], d.box}
	mail, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	config, err := d.configure(filepath.Join(dir, "careerrelay.yaml"), mail.Addr().String(), t)
	if err != nil {
		return nil, errors.Join(err, l.close(), mail.Close())
	}
	log := newLogger(t.stderr, config.Log)
	page, err := newInboxPage(d.box, d.smtp, demoDomain, "http://"+d.web)
	if err != nil {
		return nil, errors.Join(err, l.close(), mail.Close())
	}
	if d.server, err = start(config, l, log, mount{"/demo/", page}); err != nil {
		return nil, errors.Join(err, l.close(), mail.Close())
	}
	d.deliverTo(mail, log)
	return d, nil
}

// configure writes and loads the demo's configuration.
func (d *demo) configure(file, upstream string, t *terminal) (*configs.Config, error) {
	var text bytes.Buffer
	tmpl, err := template.New("configuration").Parse(demoConfig)
	if err != nil {
		return nil, err
	}
	err = tmpl.Execute(&text, map[string]string{"SMTP": d.smtp, "Web": d.web, "Admin": d.admin, "Domain": demoDomain, "Upstream": upstream})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	if d.inspector, err = newInspector(t, file, ""); err != nil {
		return nil, err
	}
	return configs.Load(file)
}

// deliverTo runs the mail server behind the relay. It stops after the relay has.
func (d *demo) deliverTo(l net.Listener, log *slog.Logger) {
	upstream := newDemoUpstream(d.box, log)
	d.server.onStopLast("demo mail server", func(context.Context) error { return upstream.Close() })
	d.server.run("demo mail server", func() error {
		if err := upstream.Serve(l); !errors.Is(err, gosmtp.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// show sends the four mails through the relay and tells what became of each.
func (d *demo) show(ctx context.Context, t *terminal) error {
	fmt.Fprintf(t.stdout, "Career Relay demo\n  mail     %s\n  pages    http://%s/\n  inbox    http://%s/demo/inbox\n  metrics  http://%s/metrics\n",
		d.smtp, d.web, d.web, d.admin)
	names, err := fs.Glob(demoMails, "demo/*.eml")
	if err != nil {
		return err
	}
	for _, name := range names {
		raw, err := demoMails.ReadFile(name)
		if err != nil {
			return err
		}
		if err := d.showOne(ctx, t, raw); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// showOne sends one mail and prints its fate in a few lines.
func (d *demo) showOne(ctx context.Context, t *terminal, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	f, err := d.inspector.inspect(raw)
	if err != nil {
		return err
	}
	if err := d.send(f.reading, raw); err != nil {
		return fmt.Errorf("send %q: %w", f.reading.Subject, err)
	}
	a, err := d.box.wait(ctx, messageID(raw))
	if err != nil {
		return fmt.Errorf("wait for %q: %w", f.reading.Subject, err)
	}
	why := fmt.Sprintf("rule %s, score %.1f", f.verdict.Rule, f.verdict.Score)
	if f.verdict.Kind == rewrite.None {
		why = f.verdict.Reason
	}
	fmt.Fprintf(t.stdout, "\n%s\n  %s (%s). %s\n", f.reading.Subject, f.verdict.Kind, why, a.did())
	if link := linkIn(a.Raw, "http://"+d.web); link != "" {
		fmt.Fprintf(t.stdout, "  open  %s\n", link)
	}
	fmt.Fprintf(t.stdout, "  see   http://%s/demo/inbox/%d\n", d.web, a.ID)
	return nil
}

// send speaks SMTP with the relay, as any client would.
func (d *demo) send(r rewrite.Reading, raw []byte) error {
	c, err := gosmtp.Dial(d.smtp)
	if err != nil {
		return err
	}
	defer c.Close()
	from, to := addressesIn(r.Header["From"]), addressesIn(r.Header["To"])
	if len(from) == 0 || len(to) == 0 {
		return errors.New("names no sender or no recipient")
	}
	if err := c.SendMail(from[0], to, bytes.NewReader(raw)); err != nil {
		return err
	}
	return c.Quit()
}
