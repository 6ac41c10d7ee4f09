package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/rewrite"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/web"
)

// inspector decides, edits and proves stored mails with the code of the relay,
// and touches neither store nor network. Safe for concurrent use.
type inspector struct {
	companies []*inspected
	anyone    *inspected // the built-in sample company, which owns each sender's domain; nil with a configuration
	limits    rewrite.Limits
	keys      *store.Keys
	starts    []string // what the links of the companies begin with
}

// inspected is a company, ready to judge mail.
type inspected struct {
	configs.Company
	agency configs.Agency
	base   *url.URL
}

// finding is what the relay would do with one mail.
type finding struct {
	raw     []byte
	message *rewrite.Message // nil if there was nothing to index
	reading rewrite.Reading
	verdict rewrite.Verdict
	edited  *rewrite.Edited // nil: it passes unedited
	signed  string          // new DKIM signatures on top of the edited mail
	reason  string          // why it passes; "" if it is edited
	link    string          // in the edited mail
}

// WriteTo writes an edited mail as it would go upstream, without the trace lines.
func (f finding) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, f.signed)
	if err != nil {
		return int64(n), err
	}
	written, err := f.edited.WriteTo(w)
	return int64(n) + written, err
}

// newInspector takes the companies of a configuration file, or the sample
// company if there is none.
func newInspector(t *terminal, file, publicURL string) (*inspector, error) {
	// Links of replays are the same in each run, and no relay knows them.
	secret := sha256.Sum256([]byte("careerrelay replay"))
	keys, err := store.NewKeys(secret[:])
	if err != nil {
		return nil, err
	}
	ins := &inspector{keys: keys}
	if file == "" {
		return ins, ins.addSample(publicURL)
	}
	config, err := loadConfig(t, file)
	if err != nil {
		return nil, err
	}
	ins.limits = rewriteLimits(config)
	for _, company := range config.Companies {
		ins.companies = append(ins.companies, ins.add(config, company))
	}
	return ins, nil
}

func (ins *inspector) addSample(publicURL string) error {
	config, err := configs.Parse("sample", configs.Sample)
	if err != nil {
		return err
	}
	ins.limits = rewriteLimits(config)
	company := config.Companies[0]
	base, err := url.Parse(publicURL)
	if err != nil || base.Host == "" {
		return fmt.Errorf("--public-url: %q is not a web address", publicURL)
	}
	company.PublicURL = configs.URL{URL: *base}
	ins.anyone = ins.add(config, company)
	return nil
}

func (ins *inspector) add(config *configs.Config, company configs.Company) *inspected {
	base := company.PublicURL.URL
	start, _ := web.LinkTo(&base)("")
	ins.starts = append(ins.starts, start)
	return &inspected{Company: company, agency: config.Agency, base: &base}
}

// inspect does with a mail what the relay does between accept and forward. The
// error is a failure of ours, on which the relay would pass the mail unedited.
func (ins *inspector) inspect(raw []byte) (finding, error) {
	f := finding{raw: raw}
	message, err := rewrite.Parse(bytes.NewReader(raw), int64(len(raw)), ins.limits)
	if err != nil {
		return f, fmt.Errorf("inspect: %w", err)
	}
	f.message, f.reading = message, message.Reading()
	company, env := ins.envelope(message)
	f.reason = message.Reason
	if f.reason == "" && company == nil {
		f.reason = "no_company"
	}
	if f.reason != "" {
		f.verdict = rewrite.Verdict{Kind: rewrite.None, Reason: f.reason}
		return f, nil
	}
	f.verdict = company.Compiled().Decide(&f.reading, env)
	if f.reason = company.unedited(f.verdict); f.reason != "" {
		return f, nil
	}
	return f, ins.edit(company, env, &f)
}

// unedited is the reason why the company's mail stays as it is.
func (c *inspected) unedited(v rewrite.Verdict) string {
	switch {
	case v.Kind == rewrite.None || v.Kind == "":
		return v.Reason
	case c.Mode == configs.Off:
		return "off"
	case c.Mode == configs.Observe:
		return "observe"
	case len(c.Release) > 0 && !slices.Contains(c.Release, v.Rule):
		return "not_released"
	}
	return ""
}

func (ins *inspector) edit(company *inspected, env rewrite.Envelope, f *finding) error {
	link, optOut := ins.links(company, env, f)
	block, ok := company.Block(company.agency, f.verdict, link, optOut)
	if !ok {
		f.reason = "no_wording"
		return nil
	}
	o := rewrite.EditOptions{BreakDKIM: company.DKIM != "skip", Links: ins.starts}
	keys, wanted := company.signers(f.message)
	if wanted && len(keys) == 0 {
		f.reason = "dkim_key"
		return nil
	}
	if wanted {
		o.StripDKIM = keys[0].Domain
	}
	edited, err := f.message.Edit(block, o)
	if unedited, ok := errors.AsType[*rewrite.Unedited](err); ok {
		f.reason = unedited.Reason
		return nil
	}
	if err != nil {
		return fmt.Errorf("splice: %w", err)
	}
	if err := edited.Prove(); err != nil {
		f.reason = "failed_prove" // the relay sends the original then, too
		if unedited, ok := errors.AsType[*rewrite.Unedited](err); ok {
			f.reason = unedited.Reason
		}
		return nil
	}
	if wanted {
		if f.signed, err = smtp.Sign(keys, edited); err != nil {
			f.reason = "failed_sign"
			return nil
		}
	}
	f.edited, f.link = edited, link
	return nil
}

// signers are the keys that sign the mail once it is edited, if it wants any.
func (c *inspected) signers(m *rewrite.Message) (keys []smtp.SigningKey, wanted bool) {
	if c.DKIM != "resign" || len(m.Values("DKIM-Signature"))+len(m.Values("ARC-Message-Signature")) == 0 {
		return nil, false
	}
	return smtp.KeysFor(signingKeys(&c.Company), rewrite.SenderDomain(m.Values("From"))), true
}

// envelope guesses the transaction that a stored mail came in: from the From
// address to the To addresses. The company is the one that owns the sender's
// domain, or the only one there is; nil if that leaves it open.
func (ins *inspector) envelope(m *rewrite.Message) (*inspected, rewrite.Envelope) {
	env := rewrite.Envelope{Recipients: addressesIn(m.Values("To"))}
	if from := addressesIn(m.Values("From")); len(from) > 0 {
		env.From = from[0]
	}
	domain := domainOf(env.From)
	if ins.anyone != nil {
		if domain != "" {
			env.OwnDomains = []string{domain}
		}
		return ins.anyone, env
	}
	company := ins.owner(domain)
	if company != nil {
		env.OwnDomains = append(texts(company.Domains), texts(company.agency.Domains)...)
	}
	return company, env
}

func (ins *inspector) owner(domain string) *inspected {
	for _, c := range ins.companies {
		for _, own := range texts(c.Domains) {
			if domain == own || strings.HasSuffix(domain, "."+own) {
				return c
			}
		}
	}
	if len(ins.companies) == 1 {
		return ins.companies[0]
	}
	return nil
}

func domainOf(address string) string {
	_, domain, _ := strings.Cut(store.Normalize(address), "@")
	return domain
}

// looseAddress finds addresses where the field is not as the standard wants it.
var looseAddress = regexp.MustCompile(`[^\s<>,;:"()\[\]]+@[^\s<>,;:"()\[\]]+`)

// addressesIn are the addresses of header fields.
func addressesIn(values []string) []string {
	var found []string
	for _, v := range values {
		list, err := mail.ParseAddressList(v)
		if err != nil {
			found = append(found, looseAddress.FindAllString(v, -1)...)
			continue
		}
		for _, a := range list {
			found = append(found, a.Address)
		}
	}
	return found
}

// links are the candidate's link and opt-out link for the mail.
func (ins *inspector) links(company *inspected, env rewrite.Envelope, f *finding) (link, optOut string) {
	key := f.message.MessageID()
	if key == "" {
		sum := sha256.Sum256(f.raw)
		key = "sha256:" + hex.EncodeToString(sum[:])
	}
	candidate := ""
	for _, r := range env.Recipients {
		if !slices.Contains(env.OwnDomains, domainOf(r)) {
			candidate = r
		}
	}
	return web.LinkTo(company.base)(ins.keys.Token(string(company.ID), key, candidate))
}
