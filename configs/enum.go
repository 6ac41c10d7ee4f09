package configs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// The choices of keys with a closed set of values; the zero value is never valid.
type (
	// Mode says how much the relay does for a company.
	Mode string
	// DKIM is the policy for signed mail.
	DKIM string
	// Recipients is the policy for several candidates.
	Recipients string
	// Mechanism is a way to log in at the upstream.
	Mechanism string
	// Attribution says for how many companies one person counts.
	Attribution string
	// BareNewline is the policy for bare LF.
	BareNewline string
	// Level is a log level.
	Level string
	// LogFormat is a log format.
	LogFormat string
)

// The modes.
const (
	Insert  Mode = "insert"
	Observe Mode = "observe"
	Off     Mode = "off"
)

// The ways to log in at an upstream.
const (
	ByPassword Mechanism = "password" // PLAIN, else LOGIN
	ByPlain    Mechanism = "plain"
	ByLogin    Mechanism = "login"
	ByToken    Mechanism = "xoauth2"
	ByCert     Mechanism = "external"
	ByClient   Mechanism = "pass" // the clients do it
)

// choices lists the values of each closed set, for parsing and for the schema.
func (Mode) choices() []string       { return []string{"insert", "observe", "off"} }
func (DKIM) choices() []string       { return []string{"skip", "insert", "resign"} }
func (Recipients) choices() []string { return []string{"pass", "split"} }
func (Mechanism) choices() []string {
	return []string{"password", "plain", "login", "xoauth2", "external", "pass"}
}
func (Attribution) choices() []string { return []string{"each", "first_company"} }
func (BareNewline) choices() []string { return []string{"normalise", "reject"} }
func (Level) choices() []string       { return []string{"debug", "info", "warn", "error"} }
func (LogFormat) choices() []string   { return []string{"text", "json"} }

func (m *Mode) parse(text string) error        { return choose(m, text) }
func (k *DKIM) parse(text string) error        { return choose(k, text) }
func (r *Recipients) parse(text string) error  { return choose(r, text) }
func (m *Mechanism) parse(text string) error   { return choose(m, text) }
func (a *Attribution) parse(text string) error { return choose(a, text) }
func (b *BareNewline) parse(text string) error { return choose(b, text) }
func (l *Level) parse(text string) error       { return choose(l, text) }
func (f *LogFormat) parse(text string) error   { return choose(f, text) }

// choice is a text type with a closed set of values.
type choice interface {
	~string
	choices() []string
}

func choose[T choice](v *T, text string) error {
	for _, c := range (*v).choices() {
		if text == c {
			*v = T(c)
			return nil
		}
	}
	list := strings.Join((*v).choices(), ", ")
	if near := nearest(text, (*v).choices()); near != "" {
		return hinted(fmt.Sprintf("did you mean %q?", near), "%q is none of: %s", text, list)
	}
	return hinted("", "%q is none of: %s", text, list)
}

// Store names the store, as bbolt:FILE or postgres.
type Store string

const postgresStore = "postgres"

func (s *Store) parse(text string) error {
	kind, place, _ := strings.Cut(text, ":")
	if text != postgresStore && (place == "" || kind != "bbolt") {
		hint := "write bbolt: and a file name, such as bbolt:data/careerrelay.db, or postgres"
		if strings.HasPrefix(text, postgresStore) {
			hint = "write postgres alone; where it is belongs into postgres.url, a file or env:NAME, since it holds a password"
			return hinted(hint, "store is not written this way") // without the text: it may hold a password
		}
		return hinted(hint, "%q is not a store", text)
	}
	*s = Store(text)
	return nil
}

// StorePath is the file of the embedded store. With PostgreSQL there is none; then
// it is the name beside the key of the tokens that the relay's own files begin with.
func (c *Config) StorePath() string {
	if c.UsesPostgres() {
		return filepath.Join(filepath.Dir(c.Path(c.SecretFile)), "careerrelay")
	}
	_, place, _ := strings.Cut(string(c.Store), ":")
	return resolve(filepath.Dir(c.file), place)
}

// ID is a company's short name.
type ID string

var idForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$`)

func (i *ID) parse(text string) error {
	if !idForm.MatchString(text) {
		return hinted("use 1 to 32 of a-z, 0-9 and -, such as sample-tokyo", "%q is not an id", text)
	}
	*i = ID(text)
	return nil
}

// Hash is the hash of a password.
type Hash string

var hashForm = regexp.MustCompile(`^(\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}|\$argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+)$`)

func (h *Hash) parse(text string) error {
	if !hashForm.MatchString(text) {
		return hinted(`make one with "careerrelay hash" and put it in quotes`, "is not a bcrypt or argon2id hash")
	}
	*h = Hash(text)
	return nil
}

// String keeps hashes out of logs: a weak password can be found from its hash.
func (h Hash) String() string { return "<hash>" }

// Licence is the number of the agency's licence.
type Licence string

var (
	licenceForm  = regexp.MustCompile(`^[0-9]{2}-ユ-[0-9]{6}$`)
	licenceOther = regexp.MustCompile(`^[0-9]{2}-?\p{Katakana}{1,2}-?[0-9]{3,7}$`)
)

func (l *Licence) parse(text string) error {
	if !licenceForm.MatchString(text) && !licenceOther.MatchString(normalLicence(text)) {
		return hinted("write it as on the certificate: 13-ユ-123456", "%q is not a licence number", text)
	}
	*l = Licence(text)
	return nil
}

// usual tells whether the number has the form of a licence for fee-charging
// employment placement.
func (l Licence) usual() bool { return licenceForm.MatchString(string(l)) }

// normalLicence folds half-width kana, full-width digits and the dashes that
// people type.
func normalLicence(text string) string {
	dashes := strings.NewReplacer("－", "-", "ー", "-", "―", "-", "‐", "-", "−", "-", "–", "-", " ", "")
	return dashes.Replace(norm.NFKC.String(dashes.Replace(text)))
}
