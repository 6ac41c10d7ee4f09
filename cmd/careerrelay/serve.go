package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/dashboard"
	"github.com/careerrelay/careerrelay/smtp"
	"github.com/careerrelay/careerrelay/store"
	"github.com/careerrelay/careerrelay/web"
)

// pollEvery is how often the configuration files are looked at.
const pollEvery = 5 * time.Second

// serveCommand runs the relay until it is told to stop.
type serveCommand struct {
	Config string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *serveCommand) Run(t *terminal) error {
	inherited, err := inheritedSockets()
	if err != nil {
		return err
	}
	config, err := loadConfigOn(t, c.Config, inherited.listen())
	if err != nil {
		return errors.Join(err, inherited.close())
	}
	l, err := openListeners(config.Listen, inherited)
	if err != nil {
		return errors.Join(err, inherited.close())
	}
	s, err := start(config, l, newLogger(t.stderr, config.Log))
	if err != nil {
		return errors.Join(err, l.close())
	}
	return s.untilStopped(t.ctx)
}

// server is a running relay.
type server struct {
	*life
	config    *configs.Config // as it was started
	registry  *prometheus.Registry
	keys      *store.Keys
	sealer    *store.Sealer
	mailer    *mailer
	agency    agencySide
	stampKey  []byte
	pageKey   []byte
	upstreams upstreams // of the current configuration; changed by open and apply alone
	extra     []mount
	recent    *recentLog
	begun     time.Time
	alarms    *alarmBoard
	desk      *dashboard.Dashboard // nil: not configured
	store     store.Full
	proxy     *smtp.Proxy
	reloader  *reloader
	pause     *killSwitch
	pages     atomic.Pointer[web.Pages]      // of the current configuration
	tls       atomic.Pointer[tls.Config]     // of the current certificate files
	links     atomic.Pointer[linkBook]       // of the current configuration
	ratios    atomic.Pointer[map[string]int] // of companies that have their own
	stopping  atomic.Bool
}

// mount is a handler beside the candidates' pages, below a path of its own.
type mount struct {
	path    string
	handler http.Handler
}

// front serves the pages of the current configuration and what is mounted.
func (s *server) front() http.Handler {
	mux := http.NewServeMux()
	for _, m := range s.extra {
		mux.Handle(m.path, m.handler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.pages.Load().ServeHTTP(w, r) })
	return mux
}

// start opens the store and runs the relay on the listeners. If it fails, it
// stops what it started; the listeners stay the caller's.
func start(config *configs.Config, l *listeners, log *slog.Logger, extra ...mount) (*server, error) {
	recent := newRecentLog(log.Handler())
	log = slog.New(recent)
	s := &server{extra: extra, recent: recent, begun: time.Now(), life: newLife(log), config: config, registry: prometheus.NewRegistry()}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.stop(context.Background()))
	}
	s.serve(l)
	return s, nil
}

// open makes all that can fail: keys, store, pages, relay.
func (s *server) open() error {
	if err := s.openKeys(); err != nil {
		return err
	}
	if err := s.openStore(); err != nil {
		return err
	}
	if err := s.openTLS(s.config); err != nil {
		return err
	}
	if err := s.openAgency(); err != nil {
		return err
	}
	s.mailer = newMailer(func(company, id string) string { return s.proxy.Stamp(company, id) }, s.registry)
	pages, err := s.newPages(s.config)
	if err != nil {
		return err
	}
	s.pages.Store(pages)
	links := newLinkBook(s.config)
	s.links.Store(&links)
	hostname, err := hostnameOf(s.config)
	if err != nil {
		return err
	}
	ups, err := s.upstreams.next(s.config, hostname)
	if err != nil {
		return err
	}
	s.pause = newKillSwitch(s.config.PauseFile(), s.companyIDs, s.log, s.registry)
	options, err := s.proxyOptions(s.config, ups, hostname)
	if err == nil {
		options.Limits.BoundMemory()
		s.proxy, err = smtp.New(options)
	}
	if err != nil {
		return errors.Join(err, s.upstreams.discard(ups))
	}
	s.upstreams = ups
	if err := s.mailer.follow(s.config, ups, hostname); err != nil {
		return errors.Join(err, s.proxy.Close())
	}
	s.onStop("upstreams", func(context.Context) error { return s.proxy.Close() })
	s.reloader = newReloader(s.config, s.apply, s.log, s.registry)
	s.alarms = newAlarmBoard(s.registry, time.Now)
	return s.openDashboard()
}

// openKeys reads the key files, and makes those that are not there.
func (s *server) openKeys() error {
	secret, err := s.config.Secret()
	if err != nil {
		return err
	}
	if s.keys, err = store.NewKeys(secret); err != nil {
		return err
	}
	if s.stampKey, err = hkdf.Key(sha256.New, secret, nil, "careerrelay stamp 1", sha256.Size); err != nil {
		return fmt.Errorf("derive stamp key: %w", err)
	}
	if s.pageKey, err = hkdf.Key(sha256.New, secret, nil, "careerrelay forms 1", sha256.Size); err != nil {
		return fmt.Errorf("derive form key: %w", err)
	}
	s.sealer, err = newSealer(s.config)
	return err
}

func (s *server) openStore() error {
	if err := os.MkdirAll(filepath.Dir(s.config.StorePath()), 0o700); err != nil {
		return fmt.Errorf("store: make its folder: %w; the relay's user must be able to write there", err)
	}
	s.ratios.Store(ratiosOf(s.config))
	policy := policyOf(s.config)
	policy.RatioOf = func(company string) int { return (*s.ratios.Load())[company] }
	var err error
	s.store, err = openConfigured(context.Background(), s.config, opening{policy: policy, log: s.log, create: true, later: true})
	if err != nil {
		return err
	}
	s.onStop("store", func(context.Context) error { return s.store.Close() })
	return nil
}

// openTLS loads the certificate; connections that begin later get it.
func (s *server) openTLS(c *configs.Config) error {
	t, err := c.TLSConfig()
	if err != nil {
		return err
	}
	s.tls.Store(t)
	return nil
}

// serve starts every part. Stopping takes them down in the opposite order: mail
// first, then pages, then the store.
func (s *server) serve(l *listeners) {
	ctx, cancel := context.WithCancel(context.Background())
	if l.admin != nil {
		s.serveHTTP("admin", l.admin, s.admin().handler())
	}
	if l.metrics != nil {
		s.serveHTTP("metrics", l.metrics, s.admin().readOnly())
	}
	s.serveAgency(l.agency)
	if l.desk != nil {
		s.serveHTTP("dashboard", l.desk, s.desk)
		s.run("alarms", func() error { s.alarms.watch(ctx); return nil })
	}
	s.onStop("views", func(context.Context) error { s.pages.Load().Close(); return nil })
	s.serveHTTP("pages", l.web, s.front())
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	ticker := time.NewTicker(pollEvery)
	s.run("reload", func() error {
		s.reloader.run(ctx, hup, ticker.C)
		return nil
	})
	s.serveControl()
	looks := time.NewTicker(pauseEvery)
	s.run("kill switch", func() error {
		s.pause.run(ctx, looks.C)
		return nil
	})
	s.run("retention", func() error {
		s.keepRetention(ctx)
		return nil
	})
	mail := make(chan struct{}, len(l.smtp))
	for _, one := range l.smtp {
		s.run("mail", func() error {
			defer func() { mail <- struct{}{} }()
			return s.proxy.ServeDoor(ctx, one, one.Door)
		})
	}
	s.onStop("mail", func(context.Context) error {
		signal.Stop(hup)
		ticker.Stop()
		looks.Stop()
		cancel()
		for range l.smtp { // Serve bounds its own draining
			<-mail
		}
		return nil
	})
	s.log.Info("relay is up", "smtp", l.addresses(false), "smtps", l.addresses(true), "web", l.web.Addr().String(), "config", s.config.File(), "pause_file", s.config.PauseFile(), "version", version())
}

// untilStopped waits for ctx to end, or for a part to fail, and stops.
func (s *server) untilStopped(ctx context.Context) error {
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-s.failed:
		s.log.Error("a part of the relay ended", "err", failure)
	}
	return errors.Join(failure, s.shutdown())
}

// shutdown lets running transactions end and stops everything.
func (s *server) shutdown() error {
	s.stopping.Store(true)
	s.log.Info("relay stops")
	grace, cancel := context.WithTimeout(context.Background(), time.Duration(s.config.Timeouts.Drain)+10*time.Second)
	defer cancel()
	err := s.stop(grace)
	s.log.Info("relay has stopped", "err", err)
	return err
}

// apply takes a new configuration into use: all that can fail first.
func (s *server) apply(c *configs.Config) error {
	pages, err := s.newPages(c)
	if err != nil {
		return err
	}
	certificate, err := c.TLSConfig()
	if err == nil {
		err = s.applyCompanies(c)
	}
	if err != nil {
		pages.Close()
		return err
	}
	s.tls.Store(certificate)
	s.ratios.Store(ratiosOf(c))
	s.pages.Swap(pages).Close()
	return nil
}

func (s *server) applyCompanies(c *configs.Config) error {
	hostname, err := hostnameOf(c)
	if err != nil {
		return err
	}
	ups, err := s.upstreams.next(c, hostname)
	if err != nil {
		return err
	}
	links, old := newLinkBook(c), s.links.Load()
	s.links.Store(&links) // SetCompanies asks for them
	companies, err := companiesOf(c, ups, hostname)
	if err == nil {
		err = s.proxy.SetCompanies(companies)
	}
	if err != nil {
		s.links.Store(old)
		return errors.Join(err, s.upstreams.discard(ups))
	}
	s.upstreams = ups
	return s.mailer.follow(c, ups, hostname)
}

// companyIDs are the ids of the companies in use.
func (s *server) companyIDs() []string {
	if s.reloader == nil {
		return companyIDs(s.config)
	}
	return s.reloader.companies()
}

func (s *server) admin() admin {
	return admin{registry: s.registry, ready: s.ready, reload: s.reloader.reload, report: s.report, observed: s.observed, pause: s.pause, pprof: s.config.Pprof}
}

func (s *server) observed(ctx context.Context) ([]observed, error) {
	return observedOf(ctx, s.store, s.reloader.companies(), "")
}

// ready tells why mail would not be taken, or not be edited, now.
func (s *server) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	return s.store.Ping(ctx)
}

func (s *server) report(ctx context.Context) ([]reportRow, error) {
	counts, err := s.store.Report(ctx, "")
	if err != nil {
		return nil, err
	}
	return reportRows(counts, s.reloader.companies(), *s.pause.now.Load()), nil
}
