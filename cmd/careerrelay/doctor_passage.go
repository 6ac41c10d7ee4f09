package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/web"
)

// passage sends the demo's mails through a relay of its own with the rules,
// wording and upstream extensions of the company, into a mailbox in memory, and
// sends what came out through it again. No candidate, no store and no real mail
// server takes part.
func (d *doctor) passage(ctx context.Context, c *configs.Company) {
	subject := "way through the relay as " + string(c.ID)
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	box := newInbox()
	server, err := startMailServer(box)
	if err != nil {
		d.say(subject, failed, "", "%v", err)
		return
	}
	defer server.stop()
	inserting := *c
	inserting.Mode, inserting.Upstream = "insert", []configs.Upstream{configs.Upstream("smtp+insecure://" + server.address)}
	inserting.UpstreamAuth, inserting.UpstreamTLS = configs.UpstreamAuth{}, configs.UpstreamTLS{}
	trial, err := d.tryout(inserting, nil)
	if err != nil {
		d.say(subject, failed, "", "%v", err)
		return
	}
	defer trial.stop()
	if err := d.pass(ctx, subject, trial.address, c, box); err != nil {
		d.say(subject, failed, "run \"careerrelay replay\" over mails of your own, and report this with its output", "%v", err)
	}
}

// pass sends every sample mail twice round and tells what became of them.
func (d *doctor) pass(ctx context.Context, subject, relay string, c *configs.Company, box *inbox) error {
	names, err := fs.Glob(demoMails, "demo/*.eml")
	if err != nil {
		return err
	}
	from, links := "doctor@"+string(c.Domains[0]), web.LinkPrefix(&c.PublicURL.URL)
	edited := 0
	for _, name := range names {
		raw, err := demoMails.ReadFile(name)
		if err != nil {
			return err
		}
		once, err := sendAndWait(ctx, relay, from, raw, box)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if linkIn(once.Raw, links) != "" {
			edited++
		}
		if err := cameRound(ctx, relay, from, once, box); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if edited == 0 {
		d.say(subject, warning, "see \"careerrelay explain\" for a rejection of your own", "none of %d sample mails got the link, though three are rejections", len(names))
		return nil
	}
	d.say(subject, fine, "", "%d of %d sample mails got a link; each has one %s line, and passed unedited when it came round again",
		edited, len(names), smtp.StampName)
	return nil
}

// cameRound sends a mail that came out of the relay through it again: it must
// be known by its stamp, and come out as it went in, below the new lines on top.
func cameRound(ctx context.Context, relay, from string, once arrival, box *inbox) error {
	stamp := []byte("\r\n" + smtp.StampName + ": " + smtp.StampWord)
	if !bytes.Contains(once.Raw, stamp) {
		return errors.New("it has no " + smtp.StampName + " line")
	}
	again, err := sendAndWait(ctx, relay, from, once.Raw, box)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(again.Raw, once.Raw) {
		return errors.New("it was changed again when it came round")
	}
	return nil
}

// sendAndWait hands a mail to a relay and brings what arrives behind it.
func sendAndWait(ctx context.Context, relay, from string, raw []byte, box *inbox) (arrival, error) {
	before := box.newest()
	if err := sendTo(relay, from, "candidate@doctor.invalid", raw); err != nil {
		return arrival{}, err
	}
	return box.next(ctx, before)
}

func sendTo(relay, from, to string, raw []byte) error {
	c, err := gosmtp.Dial(relay)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SendMail(from, []string{to}, bytes.NewReader(raw)); err != nil {
		return err
	}
	return c.Quit()
}

// testMail sends a harmless mail through the relay's code and the company's real
// upstream.
func (d *doctor) testMail(ctx context.Context, c *configs.Company, to string) {
	subject := "test mail as " + string(c.ID)
	up, err := d.upstreamOf(c)
	if err != nil {
		d.say(subject, failed, "mend the company's upstream", "%v", err)
		return
	}
	passing := *c
	passing.Mode = "off"
	trial, err := d.tryout(passing, up)
	if err != nil {
		d.say(subject, failed, "", "%v", errors.Join(err, up.Close()))
		return
	}
	defer trial.stop()
	from := "postmaster@" + string(c.Domains[0])
	if err := sendTo(trial.address, from, to, d.testText(from, to)); err != nil {
		d.say(subject, failed, "the server's words say what it wants", "%v", err)
		return
	}
	d.say(subject, fine, "", "accepted; the mail that arrives has a line that begins \"%s: %s\"", smtp.StampName, smtp.StampWord)
}

func (d *doctor) testText(from, to string) []byte {
	now := d.now()
	lines := []string{
		"From: <" + from + ">", "To: <" + to + ">", "Subject: Career Relay test", "Date: " + now.Format(time.RFC1123Z),
		"Message-ID: <doctor-" + strings.ToLower(rand.Text()) + "@" + d.hostname + ">", "Auto-Submitted: auto-generated",
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=us-ascii", "",
		"This mail went through Career Relay on " + d.hostname + " to its upstream.", "Nobody needs to answer it.", "",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// part is something that listens until it is stopped.
type part struct {
	address string
	stop    func()
}

// startMailServer runs a mail server that keeps what it gets in a box.
func startMailServer(box *inbox) (part, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return part{}, err
	}
	server := newDemoUpstream(box, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l) // ends with Close
	}()
	return part{l.Addr().String(), func() {
		server.Close()
		l.Close() // Serve may not have taken it over yet
		<-done
	}}, nil
}

// tryout runs the relay for one company and clients on this machine, on a port
// of its own. It remembers nothing. The upstream is the company's if it is nil.
func (d *doctor) tryout(c configs.Company, up *smtp.Upstream) (part, error) {
	c.Accept = configs.Accept{Networks: []configs.Network{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}}
	options, err := d.tryoutOptions(c, up)
	if err != nil {
		return part{}, err
	}
	proxy, err := smtp.New(options)
	if err != nil {
		return part{}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return part{}, errors.Join(err, proxy.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		proxy.Serve(ctx, l) // ends with ctx
	}()
	return part{l.Addr().String(), func() { cancel(); <-done; proxy.Close() }}, nil
}

func (d *doctor) tryoutOptions(c configs.Company, up *smtp.Upstream) (smtp.Options, error) {
	one := *d.config
	one.Companies = []configs.Company{c}
	ups := upstreams{}
	if up == nil {
		var err error
		if ups, err = ups.next(&one, d.hostname); err != nil {
			return smtp.Options{}, err
		}
	} else {
		_, key, err := upstreamOptions(&one, &c, d.hostname)
		if err != nil {
			return smtp.Options{}, err
		}
		ups[key] = up
	}
	companies, err := companiesOf(&one, ups, d.hostname)
	if err != nil {
		return smtp.Options{}, err
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails, see crypto/rand
	keys, err := store.NewKeys(secret)
	if err != nil {
		return smtp.Options{}, err
	}
	link := web.LinkTo(&c.PublicURL.URL)
	return smtp.Options{
		Companies: companies, Hostname: d.hostname, Referrals: forgetful{}, Keys: keys, StampKey: secret,
		Link: func(_ string, t store.Token) (string, string) { return link(t) },
	}, nil
}

// forgetful takes every referral and keeps none.
type forgetful struct{}

func (forgetful) Offer(_ context.Context, o store.Offer) (store.Referral, error) {
	return store.NewReferral("doctor", o, time.Now()), nil
}

func (forgetful) Confirm(context.Context, store.Token) error { return nil }

func (forgetful) Void(context.Context, store.Token) error { return nil }

func (forgetful) Add(context.Context, string, string, store.Traffic) error { return nil }

func (forgetful) AddPace(context.Context, store.Pace) error { return nil }

func (forgetful) Pace(context.Context, string, time.Time) ([]store.Pace, error) { return nil, nil }

func (forgetful) AddCopy(context.Context, string) error { return nil }

func (forgetful) HasCopy(context.Context, string) (bool, error) { return false, nil }
