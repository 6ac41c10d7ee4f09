package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/rewrite"
)

//go:embed demo/careerrelay.yaml.tmpl demo/*.eml
var demoFiles embed.FS

// demoDomain is the sample company's own domain.
const demoDomain = "sample.example.jp"

// demoCommand runs the whole product on this machine: relay, pages, and a mail
// server with an inbox to look into. It sends four mails through the relay and
// says what became of them.
type demoCommand struct {
	SMTP  string `help:"Where the relay takes mail." default:"127.0.0.1:2525" placeholder:"ADDRESS"`
	Web   string `help:"Where the pages are." default:"127.0.0.1:8080" placeholder:"ADDRESS"`
	Admin string `help:"Where metrics and health are." default:"127.0.0.1:9090" placeholder:"ADDRESS"`
	Data  string `help:"Folder that keeps referrals from one run to the next; a temporary one if not given." placeholder:"DIR"`
	Once  bool   `help:"Stop after the four mails."`
}

// demo is a running demo.
type demo struct {
	command *demoCommand
	t       *terminal
	folder  string
	box     *inbox
	relay   *listeners
	mail    net.Listener // of the mail server behind the relay
}

func (c *demoCommand) Run(t *terminal) error {
	folder, remove, err := c.folder()
	if err != nil {
		return err
	}
	defer remove()
	d := &demo{command: c, t: t, folder: folder, box: newInbox()}
	log := slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := d.start(log)
	if err != nil {
		return err
	}
	if err := d.show(t.ctx); err != nil {
		return errors.Join(err, s.shutdown())
	}
	if c.Once {
		return s.shutdown()
	}
	return s.untilStopped(t.ctx)
}

// folder is where the demo's files go, and how to clean up.
func (c *demoCommand) folder() (string, func(), error) {
	if c.Data != "" {
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return "", nil, fmt.Errorf("--data: %w", err)
		}
		return c.Data, func() {}, nil
	}
	folder, err := os.MkdirTemp("", "careerrelay-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the demo: %w", err)
	}
	return folder, func() { os.RemoveAll(folder) }, nil
}

// start brings up the mail server, then the relay in front of it.
func (d *demo) start(log *slog.Logger) (*server, error) {
	c := d.command
	var err error
	listen := configs.Listen{SMTP: []configs.Address{configs.Address(c.SMTP)}, Web: configs.Address(c.Web), Admin: configs.Address(c.Admin)}
	if d.relay, err = openListeners(listen); err != nil {
		return nil, err
	}
	if d.mail, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, d.relay.close())
	}
	config, err := d.configure()
	if err != nil {
		return nil, errors.Join(err, d.relay.close(), d.mail.Close())
	}
	page, err := newInboxPage(d.box, d.smtpAddress(), demoDomain, "http://"+d.webAddress()+"/r/")
	if err != nil {
		return nil, errors.Join(err, d.relay.close(), d.mail.Close())
	}
	d.relay.smtp[0] = tapListener{d.relay.smtp[0], d.box}
	s, err := start(config, d.relay, log, mount{"/demo/", page})
	if err != nil {
		return nil, errors.Join(err, d.relay.close(), d.mail.Close())
	}
	upstream := newDemoUpstream(d.box, log)
	s.run("mail server", func() error {
		if err := upstream.Serve(d.mail); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	// Stopped after the relay's mail: messages in flight still arrive.
	s.steps = append([]step{{"mail server", func(context.Context) error { return upstream.Close() }}}, s.steps...)
	return s, nil
}

func (d *demo) smtpAddress() string { return d.relay.smtp[0].Addr().String() }
func (d *demo) webAddress() string  { return d.relay.web.Addr().String() }

// configure writes the demo's configuration file and loads it the way serve does.
func (d *demo) configure() (*configs.Config, error) {
	tmpl, err := template.ParseFS(demoFiles, "demo/careerrelay.yaml.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = tmpl.Execute(&b, map[string]string{
		"SMTP": d.smtpAddress(), "Web": d.webAddress(), "Admin": d.relay.admin.Addr().String(),
		"Domain": demoDomain, "Upstream": d.mail.Addr().String(),
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(d.folder, "careerrelay.yaml")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	return configs.Load(path)
}

// show sends the sample mails through the real port and prints what arrived.
func (d *demo) show(ctx context.Context) error {
	names, err := fs.Glob(demoFiles, "demo/*.eml")
	if err != nil {
		return err
	}
	fmt.Fprintln(d.t.stdout, "Four mails went from the sample company through the relay:")
	for _, name := range names {
		raw, err := demoFiles.ReadFile(name)
		if err != nil {
			return err
		}
		if err := d.send(ctx, crlf(raw)); err != nil {
			return fmt.Errorf("send %s: %w", filepath.Base(name), err)
		}
	}
	fmt.Fprintf(d.t.stdout, `
Look into the inbox    http://%[1]s/demo/inbox
Send a mail yourself   swaks --server %[2]s --from saiyo@%[3]s --to you@mail.example.com --data FILE.eml
Metrics and health     http://%[4]s/metrics, /healthz, /readyz
Stop with Ctrl-C.
`, d.webAddress(), d.smtpAddress(), demoDomain, d.relay.admin.Addr())
	return nil
}

// crlf gives each line the line end that SMTP wants.
func crlf(raw []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// send hands one mail to the relay and waits until it is in the inbox.
func (d *demo) send(ctx context.Context, raw []byte) error {
	m, err := rewrite.Parse(bytes.NewReader(raw), int64(len(raw)), rewrite.Limits{})
	if err != nil {
		return err
	}
	to, from := addressesIn(m.Values("To")), addressesIn(m.Values("From"))
	if len(to) == 0 || len(from) == 0 {
		return errors.New("the mail names no sender or recipient")
	}
	if err := smtp.SendMail(d.smtpAddress(), nil, from[0], to, raw); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	a, err := d.box.wait(ctx, messageID(raw))
	if err != nil {
		return err
	}
	d.tell(d.t.stdout, a)
	return nil
}

// tell prints one line about a mail, and the link to open.
func (d *demo) tell(w io.Writer, a arrival) {
	fmt.Fprintf(w, "\n  %s\n    %s\n", subjectOf(a.Raw), a.did())
	if link := linkIn(a.Raw, "http://"+d.webAddress()+"/r/"); link != "" {
		fmt.Fprintf(w, "    the candidate's link: %s\n", link)
	}
}
