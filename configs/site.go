package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Site is what the kill switch must know of a relay.
type Site struct {
	PauseFile string   // while it is there, companies are paused
	Admin     Address  // of the running relay; "" for none
	Companies []string // their ids
	Broken    bool     // the configuration has mistakes: Admin may be wrong, Companies are not known
}

// PauseFile is the file of the kill switch: beside the key that makes tokens,
// where the relay may write.
func (c *Config) PauseFile() string { return pauseFile(c.Path(c.SecretFile)) }

func pauseFile(secret string) string { return filepath.Join(filepath.Dir(secret), "paused") }

// FindSite reads a configuration for the kill switch. One with mistakes will do:
// the two keys that matter are then looked for as text.
func FindSite(path string) (Site, error) {
	c, err := Load(path)
	if err == nil {
		s := Site{PauseFile: c.PauseFile(), Admin: c.Listen.Admin}
		for _, company := range c.Companies {
			s.Companies = append(s.Companies, string(company.ID))
		}
		return s, nil
	}
	if _, mistakes := errors.AsType[Problems](err); !mistakes {
		return Site{}, err
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return Site{}, fmt.Errorf("read configuration: %w", err)
	}
	secret := find(secretLine, src, "data/secret")
	return Site{
		PauseFile: pauseFile(resolve(filepath.Dir(path), secret)), Admin: Address(find(adminKey, src, "")), Broken: true,
	}, nil
}

var (
	secretLine = regexp.MustCompile(`(?m)^secret_file:[ \t]*["']?([^"'#\r\n]*[^"'#\r\n \t])`)
	adminKey   = regexp.MustCompile(`(?m)^[^#\n]*\badmin:[ \t]*["']?([0-9a-zA-Z.:\[\]]+:[0-9]+)`)
)

func find(form *regexp.Regexp, src []byte, otherwise string) string {
	if m := form.FindSubmatch(src); m != nil {
		return string(m[1])
	}
	return otherwise
}

// IsID tells whether a text can be the id of a company.
func IsID(text string) bool { return idForm.MatchString(text) }
