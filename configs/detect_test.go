package configs

import (
	"bytes"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/rewrite"
)

// sample is a labelled mail and what the rules say of it.
type sample struct {
	name, language, label, difficulty string
	verdict                           rewrite.Verdict
}

// score counts rejections found and others taken for one.
type score struct{ rejections, found, others, wrong int }

// floor is what a group must reach. It may only rise.
type floor struct {
	found int // rejections found
	wrong int // others taken for a rejection, at most
}

// check compares each group of samples with its floor and names every wrong one.
func check(t *testing.T, samples []sample, floors map[string]floor) {
	t.Helper()
	groups := map[string]*score{}
	for _, s := range samples {
		key := s.language + " " + s.difficulty
		if groups[key] == nil {
			groups[key] = &score{}
		}
		g, hit := groups[key], s.verdict.Kind == rewrite.Rejection
		if s.label == "rejection" {
			g.rejections++
			g.found += count(hit)
		} else {
			g.others++
			g.wrong += count(hit)
		}
		if (s.label == "rejection") != hit {
			t.Logf("%s [%s] is %s, taken for %s: %s", s.name, key, s.label, s.verdict.Kind, explain(s.verdict))
		}
	}
	for key, g := range groups {
		t.Logf("%s: %d of %d found, %d of %d others wrong", key, g.found, g.rejections, g.wrong, g.others)
		want, ok := floors[key]
		if !ok || g.found < want.found || g.wrong > want.wrong {
			t.Errorf("%s: got %+v, want at least %+v", key, *g, want)
		}
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func explain(v rewrite.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule %q score %g %s", v.Rule, v.Score, v.Reason)
	for _, e := range v.Evidence {
		fmt.Fprintf(&b, "\n    %s %+g %q", e.ID, e.Weight, e.Text)
	}
	return b.String()
}

// corpusSamples decides every mail of the corpus as replay does: the company
// owns the domain of From, the candidate is the address in To.
func corpusSamples(t *testing.T, rs *rewrite.Rules) []sample {
	t.Helper()
	var out []sample
	for _, language := range []string{"ja", "en"} {
		dir := filepath.Join("../testdata/corpus", language)
		manifest, err := os.ReadFile(filepath.Join(dir, "manifest.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(manifest)) {
			f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
			if len(f) < 6 || f[0] == "file" {
				continue
			}
			raw, err := os.ReadFile(filepath.Join(dir, f[0]))
			if err != nil {
				t.Fatal(err)
			}
			m, err := rewrite.Parse(bytes.NewReader(raw), int64(len(raw)), rewrite.Limits{})
			if err != nil {
				t.Fatalf("%s: %v", f[0], err)
			}
			r := m.Reading()
			out = append(out, sample{language + "/" + f[0], language, f[1], f[5], rs.Decide(&r, envelopeOf(&r))})
		}
	}
	return out
}

func envelopeOf(r *rewrite.Reading) rewrite.Envelope {
	env := rewrite.Envelope{Recipients: []string{"undisclosed@candidate.example"}}
	if to, err := mail.ParseAddressList(strings.Join(r.Header["To"], ", ")); err == nil && len(to) > 0 {
		env.Recipients = env.Recipients[:0]
		for _, a := range to {
			env.Recipients = append(env.Recipients, a.Address)
		}
	}
	if from, err := mail.ParseAddress(r.From); err == nil {
		_, domain, _ := strings.Cut(from.Address, "@")
		env.OwnDomains = []string{domain}
	}
	return env
}

// TestCorpus: the mails the rules were developed on.
func TestCorpus(t *testing.T) {
	samples := corpusSamples(t, loadBuiltin(t))
	check(t, samples, map[string]floor{
		"ja easy": {19, 0}, "ja medium": {23, 0}, "ja hard": {15, 0}, "ja judgement": {3, 0},
		"en easy": {16, 0}, "en medium": {19, 0}, "en hard": {5, 0}, "en judgement": {0, 0},
	})
	leavers := 0
	for _, s := range samples {
		leaver := s.verdict.Kind == rewrite.Leaver
		if leaver && s.label != "leaver" {
			t.Errorf("%s is %s, taken for leaver: %s", s.name, s.label, explain(s.verdict))
		}
		leavers += count(leaver)
	}
	if leavers < 9 {
		t.Errorf("only %d leavers found", leavers)
	}
}

// TestContrastPairs: one word changed, and the verdict changes.
func TestContrastPairs(t *testing.T) {
	rs := loadBuiltin(t)
	const (
		jaHead = "先日は面接にお越しいただき、ありがとうございました。"
		enHead = "Thank you for interviewing for the Planner role. "
	)
	pairs := []struct{ name, rejection, other string }{
		{"not hired, hired", jaHead + "選考の結果、残念ながら不採用となりました。", jaHead + "選考の結果、採用と決定いたしました。"},
		{"done, conditional", jaHead + "残念ながら今回は採用を見送らせていただくこととなりました。", jaHead + "今回は採用を見送らせていただくこととなった場合もご連絡いたします。"},
		{"said, quoted", jaHead + "残念ながら採用を見送らせていただくことになりました。", jaHead + "「残念ながら採用を見送らせていただくことになりました」という文面は誤りでした。"},
		{"now, last year", jaHead + "今回は残念ながら採用を見送らせていただきました。", jaHead + "昨年は残念ながら採用を見送らせていただきました。"},
		{"hiring, lending", "応募いただいた職員の採用につきましては、残念ながらご希望に沿えない結果となりました。", "お申込みいただいたご融資につきましては、残念ながらご希望に沿えない結果となりました。"},
		{"company declines, candidate declines", jaHead + "残念ですが採用を見送らせていただきます。ご活躍をお祈りします。", jaHead + "残念ですが辞退の件、承知いたしました。ご活躍をお祈りします。"},
		{"refusal alone, and an invitation", jaHead + "残念ながら営業職の採用は見送らせていただきます。", jaHead + "残念ながら営業職の採用は見送らせていただきますが、ぜひ総務職の面接にお越しいただきたく存じます。"},
		{"to the candidate, to an agency", jaHead + "残念ながら不採用とさせていただきます。", "ご推薦いただいた方の面接を行いました。残念ながら不採用とさせていただきます。"},
		{"final, waiting list", jaHead + "選考の結果、残念ながら不合格となりました。", jaHead + "選考の結果、補欠となりました。繰り上げがない場合は残念ながら不合格となります。"},
		{"to another person, on another day", jaHead + "検討の結果、今回はほかの方にお願いすることになりました。", jaHead + "検討の結果、次回はほかの日にお願いすることになりました。"},
		{"below the bar, above it", jaHead + "残念ながら、あなたの得点は合格基準に達しませんでした。", jaHead + "あなたの得点は合格基準に達しました。"},
		{"not listed, listed", jaHead + "残念ながら、採用候補者名簿に登載されませんでした。", jaHead + "このたび、採用候補者名簿に登載されました。"},
		{"ends, goes on", jaHead + "誠に勝手ながら、今回の選考は終了とさせていただきます。", jaHead + "お待たせしておりますが、今回の選考は継続させていただきます。"},
		{"hired another, hired this one", jaHead + "残念ながら、ほかの方を採用することに決定いたしました。", jaHead + "うれしいことに、あなたを採用することに決定いたしました。"},
		{"regret, pleasure", enHead + "We regret to inform you that you have not been selected for the role.", enHead + "We are pleased to inform you that you have been selected for the role."},
		{"given to another, given to you", enHead + "I am sorry to say that we have given the job to someone else.", enHead + "I am happy to say that we have given the job to you."},
		{"position filled, form filled", enHead + "Unfortunately the position has now been filled.", enHead + "Your form has now been filled in, thank you."},
		{"no longer considered, still considered", enHead + "You are no longer under consideration for the role. We wish you well.", enHead + "You are still under consideration for the role. We will write soon."},
		{"not forward, forward", enHead + "Unfortunately, we will not be moving forward with your application.", enHead + "Fortunately, we will be moving forward with your application."},
		{"done, conditional", enHead + "Unfortunately you have not been selected.", enHead + "If you have not been selected we will tell you."},
		{"another candidate, another date", enHead + "Unfortunately we have decided to go with another candidate.", enHead + "Unfortunately we have decided to go with another date."},
		{"job, loan", "Thank you for applying for the job. We are unable to offer you the position at this time.", "Thank you for applying for the loan. We are unable to offer you credit at this time."},
		{"company withdraws, candidate withdraws", enHead + "We have decided to withdraw the job offer.", enHead + "You have decided to withdraw your application."},
		{"for you, for your candidate", enHead + "Unfortunately we will not be progressing your application.", enHead + "Unfortunately we will not be progressing your candidate."},
		{"final, on reserve", enHead + "Unfortunately you have not been successful.", enHead + "Unfortunately you are on our reserve list and have not been successful yet."},
		{"sent, sent in error", enHead + "Unfortunately we are not taking your application further.", enHead + "Our message that we are not taking your application further was sent in error."},
	}
	env := rewrite.Envelope{Recipients: []string{"someone@candidate.example"}}
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			if v := rs.Decide(&rewrite.Reading{Text: p.rejection}, env); v.Kind != rewrite.Rejection {
				t.Errorf("%q is not taken for a rejection: %s", p.rejection, explain(v))
			}
			if v := rs.Decide(&rewrite.Reading{Text: p.other}, env); v.Kind != rewrite.None {
				t.Errorf("%q is taken for %s: %s", p.other, v.Kind, explain(v))
			}
		})
	}
}

// BenchmarkDecide is the time one mail costs with all built-in rules.
func BenchmarkDecide(b *testing.B) {
	rs := loadBuiltin(b)
	const ja = "先日は面接にお越しいただきありがとうございました。慎重に検討した結果、誠に残念ながら、今回は採用を見送らせていただくこととなりました。今後のご活躍をお祈り申し上げます。\n"
	const en = "Thank you for applying. After careful consideration we regret to inform you that we will not be moving forward with your application. We wish you well.\n"
	for _, bench := range []struct {
		name, text string
	}{{"ja/2KB", strings.Repeat(ja, 8)}, {"ja/30KB", strings.Repeat(ja, 120)}, {"en/2KB", strings.Repeat(en, 13)}, {"en/30KB", strings.Repeat(en, 200)}} {
		b.Run(bench.name, func(b *testing.B) {
			r := &rewrite.Reading{Subject: "選考結果", Text: bench.text}
			env := rewrite.Envelope{Recipients: []string{"someone@candidate.example"}}
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				rs.Decide(r, env)
			}
		})
	}
}
