package web

import (
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Form is what the candidate typed. It is sealed as JSON before it is stored.
type Form struct {
	FamilyName string `json:"family_name"`
	GivenName  string `json:"given_name"`
	Kana       string `json:"kana,omitempty"`
	Mail       string `json:"mail"`
	Phone      string `json:"phone,omitempty"`
	Contact    string `json:"contact"`   // mail, phone
	Frequency  string `json:"frequency"` // asked, monthly, weekly
	Field      string `json:"field,omitempty"`
	Place      string `json:"place,omitempty"`
	When       string `json:"when,omitempty"`
	Wishes     string `json:"wishes,omitempty"`    // self-assessment, after the opt-in
	Strengths  string `json:"strengths,omitempty"` // likewise
	Learn      string `json:"learn,omitempty"`     // likewise
	Adult      bool   `json:"adult"`
	HandOver   bool   `json:"hand_over"`
	TellBack   bool   `json:"tell_back"`
	JobNews    bool   `json:"job_news"`
}

// Names are the text fields and selects of the application.
func (f Form) Names() []string {
	return []string{"family_name", "given_name", "kana", "mail", "phone", "contact", "frequency", "field", "place", "when"}
}

// Text is the value of a text field or select by its name.
func (f Form) Text(name string) string {
	return map[string]string{"family_name": f.FamilyName, "given_name": f.GivenName, "kana": f.Kana, "mail": f.Mail,
		"phone": f.Phone, "contact": f.Contact, "frequency": f.Frequency, "field": f.Field, "place": f.Place,
		"when": f.When, "wishes": f.Wishes, "strengths": f.Strengths, "learn": f.Learn}[name]
}

// Choices of the form, in the order they are shown; the texts name them.
var (
	choices = map[string][]string{"contact": contacts, "frequency": frequencies, "field": fields, "place": places, "when": times}

	contacts    = []string{"mail", "phone"}
	frequencies = []string{"asked", "monthly", "weekly"}
	fields      = []string{"office", "sales", "engineering", "it", "service", "medical", "production", "logistics", "education", "other"}
	places      = []string{"hokkaido", "tohoku", "kanto", "chubu", "kinki", "chugoku", "shikoku", "kyushu", "remote", "abroad"}
	times       = []string{"now", "3months", "6months", "later"}
)

// Bounds of one text field and of one field of several lines, in characters.
const (
	maxField = 100
	maxLines = 500
)

// cleanText brings typed text into its usual form: full-width letters and digits,
// which Japanese input leaves behind, become plain ones.
func cleanText(s string) string { return strings.TrimSpace(norm.NFKC.String(s)) }

// readForm takes the form from the request; names of fields in the result are
// those that need another look, in the order of the page.
func readForm(r *http.Request) (f Form, wrong []string) {
	text := func(name string) string { return cleanText(r.PostFormValue(name)) }
	f = Form{
		FamilyName: text("family_name"), GivenName: text("given_name"), Kana: katakana(text("kana")),
		Mail: text("mail"), Phone: text("phone"), Contact: text("contact"), Frequency: text("frequency"),
		Field: text("field"), Place: text("place"), When: text("when"),
		Wishes: lines(text("wishes")), Strengths: lines(text("strengths")), Learn: lines(text("learn")),
		Adult: text("adult") == "yes", HandOver: text("hand_over") == "yes", TellBack: text("tell_back") == "yes", JobNews: text("job_news") == "yes",
	}
	return f, f.wrong()
}

// wrong names the fields that need another look.
func (f Form) wrong() []string {
	var names []string
	check := func(name string, good bool) {
		if !good {
			names = append(names, name)
		}
	}
	check("family_name", f.FamilyName != "" && short(f.FamilyName))
	check("given_name", f.GivenName != "" && short(f.GivenName))
	check("kana", short(f.Kana))
	check("mail", validMail(f.Mail))
	check("phone", validPhone(f.Phone) && (f.Phone != "" || f.Contact != "phone"))
	check("contact", slices.Contains(contacts, f.Contact))
	check("frequency", slices.Contains(frequencies, f.Frequency))
	check("field", f.Field == "" || slices.Contains(fields, f.Field))
	check("place", f.Place == "" || slices.Contains(places, f.Place))
	check("when", f.When == "" || slices.Contains(times, f.When))
	check("wishes", few(f.Wishes))
	check("strengths", few(f.Strengths))
	check("learn", few(f.Learn))
	check("adult", f.Adult)
	check("hand_over", f.HandOver)
	return names
}

func short(s string) bool {
	return utf8.RuneCountInString(s) <= maxField && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// lines makes the line ends of a browser plain ones.
func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// few is short for text of several lines.
func few(s string) bool {
	return utf8.RuneCountInString(s) <= maxLines && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f })
}

func validMail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && strings.Contains(s[strings.LastIndexByte(s, '@'):], ".")
}

func validPhone(s string) bool {
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case strings.ContainsRune(" -+()", r):
		default:
			return false
		}
	}
	return s == "" || digits >= 9 && digits <= 15
}

// katakana turns hiragana into katakana: both are taken for a reading.
func katakana(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'ぁ' && r <= 'ゖ' {
			return r + 'ァ' - 'ぁ'
		}
		return r
	}, s)
}
