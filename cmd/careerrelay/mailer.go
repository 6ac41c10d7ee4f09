package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/net/idna"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/web"
)

// mailer sends the few mails that candidates ask for, through the upstream of
// their company. It keeps nothing: a mail that the upstream does not take fails,
// and the page says so.
type mailer struct {
	routes atomic.Pointer[mailRoutes]
	stamp  func(company, messageID string) string // see smtp.Proxy.Stamp
	now    func() time.Time
	mails  *prometheus.CounterVec // outcome
}

// mailRoutes say how each company's mails go out; companies that send none are
// not in it.
type mailRoutes map[string]mailRoute

type mailRoute struct {
	from mail.Address
	up   *smtp.Upstream
}

func newMailer(stamp func(company, messageID string) string, reg prometheus.Registerer) *mailer {
	m := &mailer{stamp: stamp, now: time.Now, mails: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "careerrelay_mails_sent_total", Help: "Mails that candidates asked for, by what became of them: sent, refused, failed.",
	}, []string{"outcome"})}
	m.routes.Store(&mailRoutes{})
	return m
}

// follow takes the senders and upstreams of a configuration into use.
func (m *mailer) follow(c *configs.Config, ups upstreams, hostname string) error {
	routes := mailRoutes{}
	for i := range c.Companies {
		one := &c.Companies[i]
		if one.Sender.Address.Address == "" {
			continue
		}
		up, err := ups.of(c, one, hostname)
		if err != nil {
			return fmt.Errorf("company %q: %w", one.ID, err)
		}
		routes[string(one.ID)] = mailRoute{from: one.Sender.Address, up: up}
	}
	m.routes.Store(&routes)
	return nil
}

// Send implements web.Mailer.
func (m *mailer) Send(ctx context.Context, letter web.Mail) error {
	route, known := (*m.routes.Load())[letter.Company]
	if !known {
		return fmt.Errorf("send mail: company %q has no sender", letter.Company)
	}
	letter.To = asciiDomain(letter.To)
	raw, err := m.compose(route.from, letter)
	if err == nil {
		_, err = route.up.Send(ctx, route.from.Address, letter.To, content{raw})
	}
	m.mails.WithLabelValues(mailOutcome(err)).Inc()
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}

func mailOutcome(err error) string {
	var refusal *smtp.ReplyError
	switch {
	case err == nil:
		return "sent"
	case errors.As(err, &refusal):
		return "refused"
	}
	return "failed"
}

// asciiDomain writes an international domain as mail servers know it.
func asciiDomain(address string) string {
	at := strings.LastIndexByte(address, '@')
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		return address // as it was typed: the upstream judges
	}
	return address[:at+1] + domain
}

// content is a message in memory.
type content struct{ raw []byte }

func (c content) Size() int64 { return int64(len(c.raw)) }

func (c content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.raw)
	return int64(n), err
}

// compose writes the message: ASCII only, text and HTML, marked as made by a
// program (RFC 3834, section 5) and stamped, so that no relay edits it.
func (m *mailer) compose(from mail.Address, letter web.Mail) ([]byte, error) {
	_, domain, _ := strings.Cut(from.Address, "@")
	id := "<" + strings.ToLower(rand.Text()) + "@" + domain + ">"
	var b bytes.Buffer
	body := multipart.NewWriter(&b)
	b.WriteString(m.stamp(letter.Company, id))
	to := mail.Address{Address: letter.To}
	for _, field := range [][2]string{
		{"From", mailboxText(from)}, {"To", to.String()}, {"Subject", encodedWords(letter.Subject)},
		{"Date", m.now().Format(time.RFC1123Z)}, {"Message-ID", id},
		{"Auto-Submitted", "auto-generated"}, {"X-Auto-Response-Suppress", "All"}, // the second is Exchange's
		{"Content-Language", letter.Language}, {"MIME-Version", "1.0"},
		{"Content-Type", "multipart/alternative; boundary=\"" + body.Boundary() + "\""},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", field[0], field[1])
	}
	b.WriteString("\r\n")
	for _, part := range [][2]string{{"text/plain", letter.Text}, {"text/html", letter.HTML}} {
		if err := writePart(body, part[0], part[1]); err != nil {
			return nil, fmt.Errorf("write mail: %w", err)
		}
	}
	err := body.Close()
	return b.Bytes(), err
}

// encodedWords is a header text in lines of at most 75 columns (RFC 2047). All
// of it is encoded if some must be: blanks between encoded words vanish, blanks
// beside others do not.
func encodedWords(text string) string {
	if plain(text) {
		return text
	}
	const most = 36 // octets in one word, so that the field's name fits in front
	var words []string
	for from := 0; from < len(text); {
		to := from
		for to < len(text) {
			_, size := utf8.DecodeRuneInString(text[to:])
			if to+size-from > most {
				break
			}
			to += size
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(text[from:to]))+"?=")
		from = to
	}
	return strings.Join(words, "\r\n ")
}

// plain tells whether a header can carry the text as it is.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// mailboxText is an address with its name, folded.
func mailboxText(a mail.Address) string {
	if plain(a.Name) {
		return a.String()
	}
	return encodedWords(a.Name) + "\r\n <" + a.Address + ">"
}

// writePart adds a part in the transfer encoding that suits its letters.
func writePart(w *multipart.Writer, kind, text string) error {
	text = strings.ReplaceAll(text, "\n", "\r\n")
	encoding := "base64"
	if mostlyASCII(text) {
		encoding = "quoted-printable"
	}
	p, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type": {kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {encoding},
	})
	if err != nil {
		return err
	}
	if encoding == "quoted-printable" {
		q := quotedprintable.NewWriter(p)
		_, err := io.WriteString(q, text)
		return errors.Join(err, q.Close())
	}
	for encoded := base64.StdEncoding.EncodeToString([]byte(text)); encoded != ""; {
		n := min(76, len(encoded))
		if _, err := io.WriteString(p, encoded[:n]+"\r\n"); err != nil {
			return err
		}
		encoded = encoded[n:]
	}
	return nil
}

func mostlyASCII(text string) bool {
	beyond := 0
	for i := range len(text) {
		if text[i] >= 0x80 {
			beyond++
		}
	}
	return beyond*6 < len(text)
}
