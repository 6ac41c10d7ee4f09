package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// errFixed says which fields of a profile are no matter of a correction.
var errFixed = errors.New("mail, adult, hand_over, tell_back and job_news cannot be corrected: " +
	"another address has to be proven, and a consent is withdrawn or given anew")

// CorrectProfile applies changes, a JSON object of the fields to be corrected, to
// a profile, and judges the result as the form does. Its errors name fields, never
// what is in them.
func CorrectProfile(profile, changes []byte) ([]byte, error) {
	var old Form
	if err := json.Unmarshal(profile, &old); err != nil {
		return nil, errors.New("correct profile: it is not the form's JSON")
	}
	f := old
	d := json.NewDecoder(bytes.NewReader(changes))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("correct profile: the changes must be a JSON object with fields of the form, such as %s",
			strings.Join(f.Names()[:3], ", "))
	}
	if f.Mail != old.Mail || f.Adult != old.Adult || f.HandOver != old.HandOver || f.TellBack != old.TellBack || f.JobNews != old.JobNews {
		return nil, fmt.Errorf("correct profile: %w", errFixed)
	}
	for _, text := range []*string{&f.FamilyName, &f.GivenName, &f.Kana, &f.Phone} {
		*text = cleanText(*text)
	}
	f.Kana = katakana(f.Kana)
	if wrong := f.wrong(); len(wrong) > 0 {
		return nil, fmt.Errorf("correct profile: these fields need another look: %s", strings.Join(wrong, ", "))
	}
	return json.Marshal(f)
}
