package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// Micros is a time as it is kept: microseconds since 1970, 0 for the zero time.
type Micros int64

// ToMicros keeps a time.
func ToMicros(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Time is the time that was kept, in UTC.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// rowRecord is a Row in bytes. Short names: they are repeated in every record.
type rowRecord struct {
	Company   string           `json:"c"`
	Person    store.PersonHash `json:"p,omitempty"`
	Kind      string           `json:"k,omitempty"`
	Rule      string           `json:"r,omitempty"`
	Language  string           `json:"l,omitempty"`
	Stage     string           `json:"g,omitempty"`
	State     store.State      `json:"s"`
	Test      bool             `json:"t,omitempty"`
	Counted   bool             `json:"n,omitempty"`
	OptedOut  bool             `json:"o,omitempty"`
	OfferedAt Micros           `json:"at"`
	SentAt    Micros           `json:"st,omitempty"`
	OptedInAt Micros           `json:"it,omitempty"`
	Human     int              `json:"h,omitempty"`
	Machine   int              `json:"m,omitempty"`
	Consent   *consentRecord   `json:"y,omitempty"`
	Links     []Link           `json:"w,omitempty"`

	WithdrawnAt  Micros            `json:"wt,omitempty"`
	HandedOverAt Micros            `json:"ht,omitempty"`
	Agency       store.AgencyState `json:"a,omitempty"`
	AgencyAt     Micros            `json:"aa,omitempty"`
	Entry        int64             `json:"e,omitempty"`
}

type consentRecord struct {
	TextID     string `json:"i,omitempty"`
	TextSHA256 string `json:"d,omitempty"`
	Locale     string `json:"l,omitempty"`
	At         Micros `json:"at"`
	Method     string `json:"m,omitempty"`
	TellBack   bool   `json:"b,omitempty"`
	JobNews    bool   `json:"c,omitempty"`
	Profile    []byte `json:"p,omitempty"`

	Candidate store.PersonHash `json:"x,omitempty"`
}

type heldRecord struct {
	Referral string         `json:"r"`
	Consent  *consentRecord `json:"c,omitempty"` // nil once released
	Until    Micros         `json:"u"`
}

// EncodeRow writes a row but for its id.
func EncodeRow(r *Row) ([]byte, error) {
	b, err := json.Marshal(rowRecord{
		Company: r.Company, Person: r.Person, Kind: r.Kind, Rule: r.Rule, Language: r.Language, Stage: r.Stage,
		State: r.State, Test: r.Test, Counted: r.Counted, OptedOut: r.OptedOut,
		OfferedAt: ToMicros(r.OfferedAt), SentAt: ToMicros(r.SentAt), OptedInAt: ToMicros(r.OptedInAt),
		Human: r.Human, Machine: r.Machine, Consent: toConsentRecord(r.Consent), Links: r.Links,
		WithdrawnAt: ToMicros(r.WithdrawnAt), HandedOverAt: ToMicros(r.HandedOverAt), Agency: r.Agency, AgencyAt: ToMicros(r.AgencyAt), Entry: r.Entry,
	})
	return b, wrap("encode referral", err)
}

// DecodeRow reads what EncodeRow wrote.
func DecodeRow(id string, b []byte) (*Row, error) {
	var d rowRecord
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("decode referral: %w", err)
	}
	return &Row{Links: d.Links, Entry: d.Entry, Referral: store.Referral{
		ID: id, Company: d.Company, Person: d.Person, Kind: d.Kind, Rule: d.Rule, Language: d.Language, Stage: d.Stage,
		State: d.State, Test: d.Test, Counted: d.Counted, OptedOut: d.OptedOut,
		OfferedAt: d.OfferedAt.Time(), SentAt: d.SentAt.Time(), OptedInAt: d.OptedInAt.Time(),
		Human: d.Human, Machine: d.Machine, Consent: d.Consent.consent(),
		WithdrawnAt: d.WithdrawnAt.Time(), HandedOverAt: d.HandedOverAt.Time(), Agency: d.Agency, AgencyAt: d.AgencyAt.Time(),
	}}, nil
}

// EncodeConsent writes a consent; nothing for nil.
func EncodeConsent(c *store.Consent) ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	b, err := json.Marshal(toConsentRecord(c))
	return b, wrap("encode consent", err)
}

// DecodeConsent reads what EncodeConsent wrote.
func DecodeConsent(b []byte) (*store.Consent, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var d consentRecord
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("decode consent: %w", err)
	}
	return d.consent(), nil
}

// EncodeHeld writes a consent that waits, but for its hash.
func EncodeHeld(h Held) ([]byte, error) {
	b, err := json.Marshal(heldRecord{Referral: h.Referral, Consent: toConsentRecord(h.Consent), Until: ToMicros(h.Until)})
	return b, wrap("encode held consent", err)
}

// DecodeHeld reads what EncodeHeld wrote.
func DecodeHeld(hash, b []byte) (Held, error) {
	var d heldRecord
	if err := json.Unmarshal(b, &d); err != nil {
		return Held{}, fmt.Errorf("decode held consent: %w", err)
	}
	return Held{Hash: hash, Referral: d.Referral, Consent: d.Consent.consent(), Until: d.Until.Time()}, nil
}

func toConsentRecord(c *store.Consent) *consentRecord {
	if c == nil {
		return nil
	}
	return &consentRecord{TextID: c.TextID, TextSHA256: c.TextSHA256, Locale: c.Locale, At: ToMicros(c.At),
		Method: c.Method, TellBack: c.TellBack, JobNews: c.JobNews, Profile: c.Profile, Candidate: c.Candidate}
}

func (d *consentRecord) consent() *store.Consent {
	if d == nil {
		return nil
	}
	return &store.Consent{TextID: d.TextID, TextSHA256: d.TextSHA256, Locale: d.Locale, At: d.At.Time(),
		Method: d.Method, TellBack: d.TellBack, JobNews: d.JobNews, Profile: d.Profile, Candidate: d.Candidate}
}
