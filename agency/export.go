package agency

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// ExportOptions say what is exported, and how.
type ExportOptions struct {
	Format   string // csv or jsonl
	Language string // of headings and choices in CSV: ja or en
	Company  string // or "" for all
	// From and Before bound the time of the opt-in; zero for no limit.
	From, Before time.Time
	// HandOver also exports people whom the agency has not got yet: the export is
	// their hand-over, and is recorded as such.
	HandOver bool
	Ack      string // of these hand-overs, for the records
}

// Exported is what an export did.
type Exported struct {
	People     int // lines written
	HandedOver int // of these: handed over by this export
	Waiting    int // people left out because they were not handed over yet
	Gone       int // of the lines: without a profile, which was deleted after its time
}

// Export writes the people who were handed over and whose consent holds, oldest
// offer first. Each hand-over is recorded before its line is written.
func (d *Desk) Export(ctx context.Context, w io.Writer, o ExportOptions) (Exported, error) {
	var done Exported
	line, flush, err := exportTo(w, o)
	if err != nil {
		return done, err
	}
	q := store.Query{Company: o.Company, State: store.OptedIn, From: o.From, Before: o.Before, Limit: 200}
	for {
		rows, err := d.Referrals.Referrals(ctx, q)
		if err != nil || len(rows) == 0 {
			return done, errors.Join(err, flush())
		}
		for _, r := range rows {
			q.After = r.ID
			if err := d.exportOne(ctx, r, o, line, &done); err != nil {
				return done, errors.Join(err, flush())
			}
		}
	}
}

func (d *Desk) exportOne(ctx context.Context, r store.Referral, o ExportOptions, line func(Person) error, done *Exported) error {
	switch {
	case !visible(r):
		return nil
	case r.HandedOverAt.IsZero() && !o.HandOver:
		done.Waiting++
		return nil
	}
	p, err := d.person(r)
	if err != nil {
		return fmt.Errorf("referral %s: %w", r.ID, err)
	}
	if r.HandedOverAt.IsZero() {
		if p, err = d.handOver(ctx, r, p, o.Ack); errors.Is(err, store.ErrWrongState) {
			return nil // withdrawn in this moment
		} else if err != nil {
			return err
		}
		done.HandedOver++
	}
	if p.Profile == nil {
		done.Gone++
	}
	done.People++
	return line(p)
}

// exportTo is how a person becomes a line.
func exportTo(w io.Writer, o ExportOptions) (line func(Person) error, flush func() error, err error) {
	if o.Format == "jsonl" {
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		return func(p Person) error { return out.Encode(p) }, func() error { return nil }, nil
	}
	words := headings[o.Language]
	if o.Format != "csv" || words == nil {
		return nil, nil, fmt.Errorf("export as %q in %q: csv or jsonl, ja or en", o.Format, o.Language)
	}
	// The mark tells Excel that this is UTF-8.
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return nil, nil, err
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180
	flush = func() error { out.Flush(); return out.Error() }
	return func(p Person) error { return out.Write(row(p, o.Language)) }, flush, out.Write(words)
}

// The columns of the register of job seekers (職業安定法施行規則 24条の5, 求職管理簿)
// come first. What only the agency knows is left empty for it.
var headings = map[string][]string{
	"ja": {"受付年月日", "有効期間", "氏名", "フリガナ", "住所", "生年月日", "希望職種", "求人者の氏名又は名称", "紹介年月日", "採否", "採用年月日", "無期雇用の別", "転職勧奨禁止期間", "離職の状況", "返戻金",
		"電話番号", "メール", "連絡方法", "連絡の頻度", "希望地域", "希望時期", "これからやってみたいこと", "得意なこと", "これから学びたいこと", "求人情報のメール",
		"ご案内元", "区分", "状況", "状況の日", "引き渡し日", "同意日時", "同意文面", "同意文面のSHA-256", "同意の方法", "管理番号"},
	"en": {"received", "valid until", "name", "reading", "address", "date of birth", "kind of work", "employer", "introduced on", "result", "hired on", "permanent", "no-solicitation period", "left again", "refund",
		"telephone", "mail", "contact by", "contact how often", "place", "from when", "wishes", "strengths", "to learn", "job news",
		"company", "programme", "status", "status since", "handed over", "consent at", "consent text", "consent text SHA-256", "consent method", "id"},
}

// row is a person in the order of the headings.
func row(p Person, language string) []string {
	f, c := p.Profile, p.Consent
	if f == nil {
		f = &Profile{}
	}
	if c == nil {
		c = &Consent{}
	}
	say := func(kind, value string) string { return word(language, kind, value) }
	result := ""
	if p.Status == string(store.Hired) {
		result = say("result", "hired")
	}
	cells := []string{
		day(&p.OptedInAt), "", strings.TrimSpace(f.FamilyName + " " + f.GivenName), f.Kana, "", "", say("field", f.Field), "", "", result, "", "", "", "", "",
		f.Phone, f.Mail, say("contact", f.Contact), say("frequency", f.Frequency), say("place", f.Place), say("when", f.When), f.Wishes, f.Strengths, f.Learn,
		say("news", fmt.Sprint(c.JobNews)),
		p.Company.Name, say("programme", p.Programme), say("status", p.Status), day(p.StatusAt), day(p.HandedOverAt), moment(c.At), c.TextID, c.TextSHA256, c.Method, p.ID,
	}
	for i := range cells {
		cells[i] = harmless(cells[i])
	}
	return cells
}

// harmless keeps a spreadsheet from taking typed text for a formula: such a cell
// begins with an apostrophe, which spreadsheets take for "this is text".
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠'", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}

// japan is where the agency's days are counted.
var japan = time.FixedZone("JST", 9*60*60)

func day(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.In(japan).Format("2006-01-02")
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(japan).Format(time.RFC3339)
}

// word is a choice in words that people read; unknown ones stay as they are.
func word(language, kind, value string) string {
	if w, known := words[kind+" "+value]; known {
		return w[map[string]int{"ja": 0, "en": 1}[language]]
	}
	return value
}

var words = map[string][2]string{
	"contact mail": {"メール", "mail"}, "contact phone": {"電話", "telephone"},
	"frequency asked": {"本人から連絡したときだけ", "only when asked"}, "frequency monthly": {"月に1回程度", "monthly"}, "frequency weekly": {"週に1回程度", "weekly"},
	"field office": {"事務・管理", "office"}, "field sales": {"営業・販売", "sales"}, "field engineering": {"技術・設計", "engineering"}, "field it": {"IT", "IT"},
	"field service": {"サービス", "service"}, "field medical": {"医療・福祉", "medical"}, "field production": {"製造", "production"},
	"field logistics": {"物流", "logistics"}, "field education": {"教育", "education"}, "field other": {"その他", "other"},
	"place hokkaido": {"北海道", "Hokkaido"}, "place tohoku": {"東北", "Tohoku"}, "place kanto": {"関東", "Kanto"}, "place chubu": {"中部", "Chubu"},
	"place kinki": {"近畿", "Kinki"}, "place chugoku": {"中国", "Chugoku"}, "place shikoku": {"四国", "Shikoku"}, "place kyushu": {"九州・沖縄", "Kyushu, Okinawa"},
	"place remote": {"在宅", "remote"}, "place abroad": {"海外", "abroad"},
	"when now": {"すぐにでも", "now"}, "when 3months": {"3か月以内", "within 3 months"}, "when 6months": {"半年以内", "within 6 months"}, "when later": {"よい機会があれば", "later"},
	"news true": {"希望", "yes"}, "news false": {"希望しない", "no"},
	"programme candidate": {"応募者", "candidate"}, "programme leaver": {"退職者", "leaver"},
	"status ": {"", ""}, "status contacted": {"連絡済み", "contacted"}, "status introduced": {"紹介済み", "introduced"},
	"status interviewed": {"面接済み", "interviewed"}, "status hired": {"採用", "hired"}, "result hired": {"採用", "hired"},
}
