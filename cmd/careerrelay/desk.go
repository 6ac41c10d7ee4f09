package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/dashboard"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/web"
)

// openDashboard makes the dashboard, if the configuration has one.
func (s *server) openDashboard() error {
	c := s.config
	if c.Listen.Dashboard == "" {
		return nil
	}
	base := c.Dashboard.PublicURL.URL
	o := dashboard.Options{
		Store: s.store, PublicURL: &base, Companies: s.dashboardCompanies, Matches: smtp.PasswordMatches,
		Base: web.StyleSheet(), Texts: func() []dashboard.ConsentText { return consentTexts(s.reloader.config().Agency) },
		Health: s.health, Alarms: s.alarms.list,
		Idle: time.Duration(c.Dashboard.Idle), Absolute: time.Duration(c.Dashboard.Session), Logger: s.log,
	}
	for _, u := range c.Dashboard.Users {
		o.Users = append(o.Users, dashboard.User{Name: u.Name, Role: dashboard.Role(u.Role), Companies: texts(u.Companies), Hash: string(u.Hash)})
	}
	if issuer := c.Dashboard.OIDC; issuer.Set() {
		o.OIDC = &dashboard.OIDC{Name: issuer.Name, Issuer: issuer.Issuer.String(), ClientID: issuer.ClientID,
			Secret: issuer.ClientSecret.Read, Scopes: issuer.Scopes, Claim: issuer.Claim}
		for _, r := range issuer.Roles {
			o.OIDC.Roles = append(o.OIDC.Roles, dashboard.OIDCRole{Value: r.Value, Role: dashboard.Role(r.Role), Companies: texts(r.Companies)})
		}
	}
	var err error
	s.desk, err = dashboard.New(o)
	return err
}

// dashboardCompanies are the companies in use. One that was taken out of the
// configuration keeps its books, which the auditor reads by the command.
func (s *server) dashboardCompanies() []dashboard.Company {
	var all []dashboard.Company
	for _, c := range s.reloader.config().Companies {
		all = append(all, dashboard.Company{ID: string(c.ID), Name: c.Name})
	}
	return all
}

func consentTexts(a configs.Agency) []dashboard.ConsentText {
	texts, err := web.ConsentTexts(agencyOf(a))
	if err != nil {
		return nil // the pages of candidates were made of the same texts
	}
	var all []dashboard.ConsentText
	for _, t := range texts {
		all = append(all, dashboard.ConsentText{ID: t.ID, SHA256: t.SHA256, Body: t.Body})
	}
	return all
}

// health is what IT sees.
func (s *server) health(ctx context.Context) dashboard.Health {
	h := dashboard.Health{Version: version(), Since: s.begun, Errors: s.recent.lines()}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		h.Ready = err.Error()
	}
	if err := s.reloader.failure(); err != nil {
		h.Reload = err.Error()
	}
	for _, c := range s.reloader.config().Companies {
		h.Rules = append(h.Rules, dashboard.CompanyRules{Company: string(c.ID), Mode: string(c.Mode), Rules: c.Compiled().IDs(), Released: c.Release})
	}
	return h
}

// recentLines is how many warnings and errors are kept for IT.
const recentLines = 50

// recentLog hands every record on, and keeps the last warnings and errors. The
// log has no personal data, so neither has this.
type recentLog struct {
	slog.Handler
	attrs []slog.Attr
	kept  *keptLines
}

type keptLines struct {
	mu    sync.Mutex // guards lines
	lines []dashboard.LogLine
}

func newRecentLog(h slog.Handler) *recentLog { return &recentLog{Handler: h, kept: new(keptLines)} }

// Enabled implements slog.Handler: a warning is kept also when it is not written.
func (r *recentLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || r.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (r *recentLog) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelWarn {
		r.keep(record)
	}
	if !r.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return r.Handler.Handle(ctx, record)
}

func (r *recentLog) keep(record slog.Record) {
	var text strings.Builder
	text.WriteString(record.Message)
	write := func(a slog.Attr) bool {
		fmt.Fprintf(&text, " %s=%v", a.Key, a.Value.Resolve())
		return true
	}
	for _, a := range r.attrs {
		write(a)
	}
	record.Attrs(write)
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	r.kept.lines = append(r.kept.lines, dashboard.LogLine{At: record.Time, Level: record.Level.String(), Text: text.String()})
	r.kept.lines = r.kept.lines[max(len(r.kept.lines)-recentLines, 0):]
}

// WithAttrs implements slog.Handler.
func (r *recentLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &recentLog{r.Handler.WithAttrs(attrs), slices.Concat(r.attrs, attrs), r.kept}
}

// WithGroup implements slog.Handler.
func (r *recentLog) WithGroup(name string) slog.Handler {
	return &recentLog{r.Handler.WithGroup(name), r.attrs, r.kept}
}

// lines are those kept, newest first.
func (r *recentLog) lines() []dashboard.LogLine {
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	all := slices.Clone(r.kept.lines)
	slices.Reverse(all)
	return all
}

// alarmEvery is how often the counters are looked at.
const alarmEvery = time.Minute

// alarmBoard remembers for a day how the counters of what should not happen rose.
type alarmBoard struct {
	gather prometheus.Gatherer
	now    func() time.Time

	mu    sync.Mutex // guards rises
	rises map[alarmKey][]rise
}

type alarmKey struct{ kind, detail string }

// rise is a new value of a counter, and when it was seen.
type rise struct {
	at    time.Time
	value float64
}

func newAlarmBoard(g prometheus.Gatherer, now func() time.Time) *alarmBoard {
	return &alarmBoard{gather: g, now: now, rises: map[alarmKey][]rise{}}
}

// alarming says which metrics, and which values of their label, make an alarm.
func alarming(metric, label string) (kind, detail string) {
	switch {
	case metric == "careerrelay_messages_unedited_total" && label == "burst":
		return "burst", ""
	case metric == "careerrelay_fail_open_total":
		return "fail_open", label
	case metric == "careerrelay_smtp_connections_refused_total":
		return "refused", label
	}
	return "", ""
}

// watch looks at the counters until ctx ends.
func (b *alarmBoard) watch(ctx context.Context) {
	tick := time.NewTicker(alarmEvery)
	defer tick.Stop()
	for {
		b.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look notes which counters rose. A metric that cannot be read is seen next time.
func (b *alarmBoard) look() {
	families, err := b.gather.Gather()
	if err != nil && len(families) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := ""
			if l := m.GetLabel(); len(l) > 0 {
				label = l[0].GetValue()
			}
			kind, detail := alarming(f.GetName(), label)
			if kind == "" {
				continue
			}
			key := alarmKey{kind, detail}
			known := b.rises[key]
			if value := m.GetCounter().GetValue(); value > last(known) {
				known = append(known, rise{now, value})
			}
			b.rises[key] = recent(known, now.Add(-24*time.Hour))
		}
	}
}

func last(rises []rise) float64 {
	if len(rises) == 0 {
		return 0
	}
	return rises[len(rises)-1].value
}

// recent drops what lies before a time, but for the value that held then.
func recent(rises []rise, since time.Time) []rise {
	for len(rises) > 1 && !rises[1].at.After(since) {
		rises = rises[1:]
	}
	return rises
}

// since is how much the counter rose after a time.
func since(rises []rise, from time.Time) int64 {
	base := 0.0
	for _, r := range rises {
		if r.at.After(from) {
			break
		}
		base = r.value
	}
	return int64(last(rises) - base)
}

// list is what happened in the last 24 hours, by kind.
func (b *alarmBoard) list() []dashboard.Alarm {
	b.look()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	var all []dashboard.Alarm
	for key, rises := range b.rises {
		a := dashboard.Alarm{Kind: key.kind, Detail: key.detail, Hour: since(rises, now.Add(-time.Hour)), Day: since(rises, now.Add(-24*time.Hour))}
		if a.Day > 0 {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b dashboard.Alarm) int { return strings.Compare(a.Kind+a.Detail, b.Kind+b.Detail) })
	return all
}
