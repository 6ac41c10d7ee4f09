package configs

import (
	"bytes"
	"cmp"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/careerrelay/careerrelay/rewrite"
)

//go:generate go test -run "^(TestSchema|TestReference)" -update .

// Sample is the configuration that is shipped: complete, and usable as it is on
// one machine.
//
//go:embed careerrelay.yaml
var Sample []byte

// Config is the configuration file of the relay.
type Config struct {
	// Where the relay listens. A change needs a restart.
	Listen Listen `yaml:"listen" jsonschema:"required"`
	// Name of this host in greetings, EHLO and Received lines; empty for the name the system knows.
	// A change needs a restart.
	Hostname string `yaml:"hostname"`
	// Certificate for STARTTLS and implicit TLS, and whose client certificates are believed. New file contents are taken into use by a
	// reload; other file names need a restart.
	TLS TLS `yaml:"tls"`
	// Where referrals are kept: bbolt:FILE, or postgres when several relays share them. A change needs a
	// restart.
	Store Store `yaml:"store"`
	// The database of store: postgres. A change needs a restart.
	Postgres Postgres `yaml:"postgres"`
	// File with the key that makes tokens and address hashes; made on the first start, mode 0600.
	// Back it up apart from the store: without it no link works. A change needs a restart.
	SecretFile Path `yaml:"secret_file"`
	// File with the key that seals candidates' profiles; made on the first start, mode 0600. Back it up
	// apart from the store. A change needs a restart.
	ProfileKeyFile Path `yaml:"profile_key_file"`
	// Earlier profile keys that still open what they sealed. A change needs a restart.
	OldProfileKeyFiles []Path `yaml:"old_profile_key_files"`
	// The recruiting agency that candidates may turn to; shown on every page, as the law demands.
	Agency Agency `yaml:"agency" jsonschema:"required"`
	// What is logged, and how. A change needs a restart.
	Log Log `yaml:"log"`
	// Whether the admin listener serves the profiles of the Go runtime below /debug/pprof/, for whoever looks for a
	// leak or a slow place. They show no mail, but names of functions and sizes. A change needs a restart.
	Pprof bool `yaml:"pprof"`
	// Bounds on what one client and one message may use. A change needs a restart.
	Limits Limits `yaml:"limits"`
	// How long each step may take. A change needs a restart.
	Timeouts Timeouts `yaml:"timeouts"`
	// Registrations that earn a company one free introduction; credits keep the ratio they were earned
	// under. A change needs a restart.
	Ratio int `yaml:"ratio"`
	// Whoever withdraws within this time after registering does not count. A change needs a restart.
	CoolingOff Duration `yaml:"cooling_off"`
	// For how many companies one person counts: each that he or she registered through, or
	// first_company alone, which keeps a hash that joins a person's registrations. A change needs a restart.
	Attribution Attribution `yaml:"attribution"`
	// How long a link works. A change needs a restart.
	LinkLife Duration `yaml:"link_life"`
	// Who may look at the dashboard, and how they log in. A change needs a restart.
	Dashboard Dashboard `yaml:"dashboard"`
	// How long what is kept is kept.
	Retention Retention `yaml:"retention"`
	// What happens to a line that ends in a bare LF: normalise it to CRLF, or reject the message.
	// A bare CR is always refused. A change needs a restart.
	BareNewline BareNewline `yaml:"bare_newline"`
	// The companies whose mail passes through.
	Companies []Company `yaml:"companies" jsonschema:"required"`

	file     string
	sockets  Listen // opened by the service manager, see LoadOn
	warnings Problems
}

// Listen is where the relay can be reached.
type Listen struct {
	// Addresses that take mail, with STARTTLS if tls names a certificate. Sockets that systemd passes under the names
	// smtp, smtps, web and admin take the place of these addresses.
	SMTP []Address `yaml:"smtp"`
	// Addresses that take mail from clients that begin with TLS, as on port 465; needs tls.
	SMTPS []Address `yaml:"smtps"`
	// Those of the addresses above where only clients with a certificate of tls.client_ca may send or log in.
	// At the others a certificate is one of the ways in (accept.client_names).
	RequireCertificate []Address `yaml:"require_certificate"`
	// Address of the pages that candidates see. Put a web server with TLS in front of it.
	Web Address `yaml:"web" jsonschema:"required"`
	// Address of metrics, health, reload and report. It has no password: keep it on loopback.
	Admin Address `yaml:"admin"`
	// Address of metrics and health alone, read only: for a Prometheus or a container's probes that cannot reach
	// loopback. It has no password and names companies' ids: keep it within your own network.
	Metrics Address `yaml:"metrics"`
	// Address of the agency's API. Put a web server with TLS in front of it.
	Agency Address `yaml:"agency"`
	// Address of the dashboard for human resources, IT, the agency and auditors; needs dashboard. Put a web
	// server with TLS in front of it.
	Dashboard Address `yaml:"dashboard"`
	// Load balancers that speak the PROXY protocol to us.
	ProxyProtocol []Network `yaml:"proxy_protocol"`
}

// Postgres is the database that relays share.
type Postgres struct {
	// Where it is, with user and password: the name of a file that holds
	// postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, or env:NAME.
	URL Secret `yaml:"url"`
	// Connections of one relay, at most.
	Pool int `yaml:"pool"`
	// Time for one transaction, waiting for a connection included. When it is over, mail passes unedited.
	Timeout Duration `yaml:"timeout"`
}

// TLS is the server's certificate, and whose client certificates are believed.
type TLS struct {
	// File with the certificate and its chain, PEM.
	Cert Path `yaml:"cert"`
	// File with its private key, PEM.
	Key Path `yaml:"key"`
	// File with the authorities whose client certificates are believed, PEM. Every client is asked for one; see
	// accept.client_names and listen.require_certificate.
	ClientCA Path `yaml:"client_ca"`
}

// Agency is the licensed recruiting agency.
type Agency struct {
	// Legal name.
	Name string `yaml:"name" jsonschema:"required"`
	// Name in Latin letters, for English mails; without it name is used, which a mail in US-ASCII cannot carry.
	NameEN string `yaml:"name_en"`
	// Number of the licence for fee-charging employment placement, such as 13-ユ-123456.
	Licence Licence `yaml:"licence" jsonschema:"required"`
	// Postal address.
	Address string `yaml:"address" jsonschema:"required"`
	// Where candidates can ask: mail address or telephone number.
	Contact string `yaml:"contact" jsonschema:"required"`
	// Web address of the privacy policy.
	PrivacyPolicy URL `yaml:"privacy_policy" jsonschema:"required"`
	// Mail domains of the agency, subdomains included. Its own people are never candidates and never count.
	Domains []Domain `yaml:"domains"`
	// Where candidates' data go as soon as they registered.
	Webhook Webhook `yaml:"webhook"`
	// Tokens of the API at listen.agency.
	APITokens []APIToken `yaml:"api_tokens"`
	// Address of the agency's own form. With it candidates type nothing here: they are sent there with a reference number, no
	// data are stored, and a registration counts when the agency reports it through the API.
	Form URL `yaml:"form"`
}

// Log says what is logged.
type Log struct {
	// Lowest level that is written: debug, info, warn or error.
	Level Level `yaml:"level"`
	// text for people, json for machines.
	Format LogFormat `yaml:"format"`
}

// Limits bound memory and work. Beyond a limit of inspection a message passes
// unedited; the others refuse, and say so.
type Limits struct {
	// Largest message that is taken; larger ones are refused with 552.
	MessageSize Size `yaml:"message_size"`
	// Bytes of a message that are kept in memory; the rest goes to an unlinked temporary file.
	Window Size `yaml:"window"`
	// Bytes of all messages in flight that are kept in memory.
	Memory Size `yaml:"memory"`
	// Connections at a time.
	Connections int `yaml:"connections"`
	// Connections at a time from one address.
	ConnectionsPerIP int `yaml:"connections_per_ip"`
	// Recipients of one message.
	Recipients int `yaml:"recipients"`
	// Received lines of one message; more are taken for a mail loop.
	Received int `yaml:"received"`
	// Bytes of all headers that are inspected.
	HeaderBytes Size `yaml:"header_bytes"`
	// Parts that are inspected.
	Parts int `yaml:"parts"`
	// Levels of multiparts that are inspected.
	Depth int `yaml:"depth"`
	// Decoded bytes of text that are inspected.
	TextBytes Size `yaml:"text_bytes"`
}

// Timeouts bound each step.
type Timeouts struct {
	// Wait for a client's next command.
	Command Duration `yaml:"command"`
	// Wait for the next bytes of a message; a slow but steady transfer is never cut.
	Data Duration `yaml:"data"`
	// Connect to an upstream, TLS included.
	Connect Duration `yaml:"connect"`
	// Wait for an upstream's answer to a command.
	Reply Duration `yaml:"reply"`
	// Time for one message from its last byte to the answer; keep it below the client's own patience.
	Transaction Duration `yaml:"transaction"`
	// Time for reading and editing one message, and for waiting to; beyond it a message passes unedited.
	Inspect Duration `yaml:"inspect"`
	// Time for running transactions when the relay stops.
	Drain Duration `yaml:"drain"`
}

// Retention bounds how long records live.
type Retention struct {
	// An unused referral is removed, but for a count, this long after its link ended.
	Unused Duration `yaml:"unused"`
	// A profile is removed this long after the agency confirmed the hand-over.
	Profile Duration `yaml:"profile"`
	// The person behind a withdrawn consent is forgotten this long after the withdrawal.
	Withdrawn Duration `yaml:"withdrawn"`
	// What could not be told to the agency is removed this long after the event.
	Letters Duration `yaml:"letters"`
	// Records of consent and hand-over, and the journal of accesses and requests; the law demands
	// three years.
	Records Duration `yaml:"records"`
}

// Company is one company whose outgoing mail passes through the relay.
type Company struct {
	// Short name in the store, in metrics and in reports; never change it.
	ID ID `yaml:"id" jsonschema:"required"`
	// Name as candidates know it.
	Name string `yaml:"name" jsonschema:"required"`
	// Name in Latin letters, for English mails; without it name is used, which a mail in US-ASCII cannot carry.
	NameEN string `yaml:"name_en"`
	// Mail domains of the company, subdomains included. Own addresses are never candidates.
	Domains []Domain `yaml:"domains" jsonschema:"required"`
	// Web address that links begin with; best a host of the company's own.
	PublicURL URL `yaml:"public_url" jsonschema:"required"`
	// Mailbox that the mails to candidates come from, such as "Sample Inc. <saiyo@example.co.jp>": receipts, proofs of an
	// address, links of /c/<company>. They go out through upstream. Without it the pages send no mail.
	Sender Mailbox `yaml:"sender"`
	// Who may send mail as this company.
	Accept Accept `yaml:"accept"`
	// Mail servers that take the company's mail, tried in order: smtp:// (STARTTLS, verified), smtps://
	// (TLS from the first byte), or smtp+insecure:// (plain text).
	Upstream []Upstream `yaml:"upstream" jsonschema:"required"`
	// How the relay logs in at the upstream.
	UpstreamAuth UpstreamAuth `yaml:"upstream_auth"`
	// Certificates towards the upstream.
	UpstreamTLS UpstreamTLS `yaml:"upstream_tls"`
	// insert edits; observe decides and counts, and changes nothing; off passes everything on.
	Mode Mode `yaml:"mode"`
	// Rule files, in order: builtin:ja, builtin:en, or files of your own.
	Rules []string `yaml:"rules"`
	// Ids of the rules that may insert; empty for all. The others only count.
	Release []string `yaml:"release"`
	// Wording of the block: short, standard, warm, or one of wording_files. A rule may ask for another;
	// a language that lacks it takes its standard.
	Wording string `yaml:"wording"`
	// Files with wordings of your own, in the form of the shipped ones ("careerrelay sample --wordings ja");
	// the same id replaces a shipped one.
	WordingFiles []Path `yaml:"wording_files"`
	// Registrations that earn this company one free introduction, if other than the ratio above.
	Ratio int `yaml:"ratio"`
	// Test mode: links work, nothing is ever counted.
	Test bool `yaml:"test"`
	// What happens to mail that is signed already, where an edit would break the signature:
	// skip passes it unedited, insert edits it all the same (a hop after us signs), resign edits it, takes
	// the signatures of the sender's domain out and signs with dkim_keys.
	DKIM DKIM `yaml:"dkim"`
	// Keys that sign edited mail with dkim: resign. Several of one domain all sign.
	DKIMKeys []DKIMKey `yaml:"dkim_keys"`
	// What happens to a message with several candidates: pass leaves it unedited;
	// split sends one message with one link to each.
	Recipients Recipients `yaml:"recipients"`
	// Guard against a run of links that nobody meant.
	Burst Burst `yaml:"burst"`

	wordings Wordings
	compiled *rewrite.Rules
}

// Accept says who may send mail as this company. One of the ways is enough.
type Accept struct {
	// Networks that may send without a password.
	Networks []Network `yaml:"networks"`
	// Users that may send with a password, under TLS only. With upstream_auth mechanism pass: who may log in, and for
	// which sender domains; without users all whom the upstream knows.
	Users []User `yaml:"users"`
	// Names in client certificates that may send; needs tls.client_ca.
	ClientNames []Domain `yaml:"client_names"`
	// Without a login take senders at the company's domains only, and bounces: for networks and certificates that
	// others share, as those of Microsoft 365 and Google are.
	OwnSenders bool `yaml:"own_senders"`
}

// User is a client that logs in.
type User struct {
	// Name at login.
	Name string `yaml:"name" jsonschema:"required"`
	// bcrypt or argon2id hash of the password, as "careerrelay hash" prints it; not for mechanism pass.
	Hash Hash `yaml:"hash"`
	// Sender domains that the user is bound to; empty for any.
	Domains []Domain `yaml:"domains"`
}

// UpstreamAuth is how the relay logs in at the upstream. Without user and mechanism it does not.
type UpstreamAuth struct {
	// password (PLAIN, or LOGIN where the server has only that), plain, login, xoauth2 (an access token, see token),
	// external (as the certificate of upstream_tls proves), or pass: clients are offered the upstream's own logins, each
	// is handed on to a connection of its own, and the upstream decides.
	Mechanism Mechanism `yaml:"mechanism"`
	// User name; for xoauth2 the mailbox, for external it may be left out.
	User string `yaml:"user"`
	// Password: the name of a file that holds it, or env:NAME. Read anew for each login.
	Password Secret `yaml:"password"`
	// Where access tokens come from, for xoauth2.
	Token Token `yaml:"token"`
}

// Token is an OAuth 2.0 client that gets access tokens by the client-credentials flow.
// A token is kept until a minute before its end, and replaced when the upstream refuses it.
type Token struct {
	// Token end point, such as https://login.microsoftonline.com/TENANT/oauth2/v2.0/token.
	URL URL `yaml:"url"`
	// Id of the client.
	ClientID string `yaml:"client_id"`
	// Secret of the client: the name of a file that holds it, or env:NAME. Read anew for each token.
	ClientSecret Secret `yaml:"client_secret"`
	// Scope that is asked for, such as https://outlook.office365.com/.default.
	Scope string `yaml:"scope"`
}

// UpstreamTLS is whom the relay believes to be the upstream, and how it proves itself.
type UpstreamTLS struct {
	// File with the authorities that may sign for the upstream, PEM; empty for those of the system.
	CA Path `yaml:"ca"`
	// File with the certificate that the relay shows, and its chain, PEM. Read anew for each connection.
	Cert Path `yaml:"cert"`
	// File with its private key, PEM.
	Key Path `yaml:"key"`
}

// Burst stops inserting when far more rejections than usual come: in 2021 a
// rejection meant for 10 people went to over 10,000.
type Burst struct {
	// Insertions within the window that are always allowed.
	Insertions int `yaml:"insertions"`
	// Beyond these, as many times the busiest window of the last four weeks are allowed; 0 for none.
	Factor int `yaml:"factor"`
	// Length of the window, 5m to 168h.
	Window Duration `yaml:"window"`
}

// defaults fills in what a file may leave out. It is called with each struct of
// the file before that struct is read.
func defaults(v any) {
	switch c := v.(type) {
	case *Config:
		c.Store = "bbolt:data/careerrelay.db"
		c.Postgres = Postgres{Pool: 10, Timeout: seconds(5)}
		c.SecretFile = "data/secret"
		c.ProfileKeyFile = "data/profile-key"
		c.Ratio = 10
		c.LinkLife = Duration(90 * day)
		c.CoolingOff = Duration(7 * day)
		c.Attribution = "each"
		c.Log = Log{Level: "info", Format: "text"}
		c.Limits = Limits{
			MessageSize: 50e6, Window: 1 << 20, Memory: 6 << 20, Connections: 2000, ConnectionsPerIP: 100, Recipients: 1000,
			Received: 50, HeaderBytes: 1 << 20, Parts: 1000, Depth: 20, TextBytes: 1 << 20,
		}
		c.Timeouts = Timeouts{
			Command: seconds(300), Data: seconds(180), Connect: seconds(20), Reply: seconds(60),
			Transaction: seconds(85), Inspect: seconds(3), Drain: seconds(100),
		}
		c.Retention = Retention{Unused: Duration(30 * day), Profile: Duration(30 * day), Withdrawn: Duration(30 * day), Letters: Duration(90 * day), Records: Duration(3 * 366 * day)}
		c.BareNewline = "normalise"
		c.Dashboard = Dashboard{Idle: seconds(1800), Session: seconds(12 * 3600)}
	case *Company:
		c.Mode = "insert"
		c.Rules = []string{"builtin:ja", "builtin:en"}
		c.Wording = "standard"
		c.DKIM = "skip"
		c.Recipients = "pass"
		c.UpstreamAuth.Mechanism = ByPassword
		c.Burst = Burst{Insertions: 500, Factor: 3, Window: seconds(3600)}
	}
}

func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }

// Load reads the configuration file, checks all of it and returns it ready to
// use. A file with mistakes gives Problems with every one of them. Load changes
// nothing on disk and opens no socket.
func Load(path string) (*Config, error) { return LoadOn(path, Listen{}) }

// LoadOn is Load for a relay that was given sockets by its service manager. For
// each kind of address that sockets has, they stand in place of the file's: what
// is checked is where the relay can really be reached.
func LoadOn(path string, sockets Listen) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, src, sockets)
}

// Again loads the file that c came from as it is now.
func (c *Config) Again() (*Config, error) { return LoadOn(c.file, c.sockets) }

// Parse is Load for a file that was read already. Relative paths start from the
// folder of path.
func Parse(path string, src []byte) (*Config, error) { return parse(path, src, Listen{}) }

func parse(path string, src []byte, sockets Listen) (*Config, error) {
	c := &Config{file: path, sockets: sockets}
	d := decodeYAML(path, src, c)
	c.Listen.replace(sockets)
	if d.parsed() {
		validate(c, d)
	}
	problems := append(d.problems.inFile(src), d.elsewhere...)
	if mistakes := problems.Mistakes(); len(mistakes) > 0 {
		return nil, problems
	}
	c.warnings = problems
	return c, nil
}

// replace puts the kinds of address that other has in place of l's.
func (l *Listen) replace(other Listen) {
	if len(other.SMTP) > 0 {
		l.SMTP = other.SMTP
	}
	if len(other.SMTPS) > 0 {
		l.SMTPS = other.SMTPS
	}
	l.Web, l.Admin, l.Agency = cmp.Or(other.Web, l.Web), cmp.Or(other.Admin, l.Admin), cmp.Or(other.Agency, l.Agency)
}

// File is the name the configuration was loaded from.
func (c *Config) File() string { return c.file }

// Warnings are problems that do not keep the file from being used.
func (c *Config) Warnings() Problems { return c.warnings }

// Path is the place of a file that the configuration names.
func (c *Config) Path(p Path) string { return resolve(filepath.Dir(c.file), string(p)) }

// secretSize is the length of the key in bytes: 256 bits.
const secretSize = 32

// Secret reads the key of the tokens, and makes it (mode 0600) if there is none.
func (c *Config) Secret() ([]byte, error) { return c.key("secret_file", c.SecretFile, true) }

// ProfileKeys reads the keys that seal profiles, the current one first, and
// makes that one if there is none.
func (c *Config) ProfileKeys() ([][]byte, error) {
	current, err := c.key("profile_key_file", c.ProfileKeyFile, true)
	if err != nil {
		return nil, err
	}
	keys := [][]byte{current}
	for _, old := range c.OldProfileKeyFiles {
		key, err := c.key("old_profile_key_files", old, false)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// key reads one key file, and makes it if it may.
func (c *Config) key(name string, file Path, create bool) ([]byte, error) {
	path := c.Path(file)
	raw, err := os.ReadFile(path)
	if create && errors.Is(err, fs.ErrNotExist) {
		raw, err = makeSecret(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; the relay's user must be able to read and make it", name, err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(raw)))
	if err != nil || len(key) != secretSize {
		return nil, fmt.Errorf("read %s: %s does not hold %d hexadecimal digits; put the right file back from the backup "+
			"(a new one ends all links, or closes all profiles)", name, path, 2*secretSize)
	}
	return key, nil
}

// makeSecret writes a new key. Of two processes that start at once one wins and
// the other reads the winner's key.
func makeSecret(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, secretSize)
	rand.Read(key) // never fails, see crypto/rand
	text := []byte(hex.EncodeToString(key) + "\n")
	temp, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name())
	if _, err := temp.Write(text); err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}
