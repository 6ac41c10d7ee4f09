package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/careerrelay/careerrelay/configs"
)

// pauseEvery is how often the relay looks whether it is to pause.
const pauseEvery = 200 * time.Millisecond

// pauses says for whom nothing is inserted at the moment. It is kept in a file of
// its own beside the relay's data, so that it works with a broken configuration
// and outlives a restart: one company id a line, "*" for all. A file without
// a line, or with one that makes no sense, pauses all: whoever made it wanted it.
type pauses struct {
	all       bool
	companies []string // sorted
}

// readPauses reads the file; none is no pause, and one that cannot be read pauses all.
func readPauses(file string) (pauses, error) {
	raw, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pauses{}, nil
	case err != nil:
		return pauses{all: true}, fmt.Errorf("read kill switch: %w", err)
	}
	return parsePauses(string(raw)), nil
}

func parsePauses(text string) pauses {
	var p pauses
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		switch line = strings.TrimSpace(line); {
		case line == "":
		case configs.IsID(line):
			p.companies = append(p.companies, line)
		default:
			p.all = true
		}
	}
	p.all = p.all || len(p.companies) == 0
	slices.Sort(p.companies)
	p.companies = slices.Compact(p.companies)
	return p
}

func (p pauses) has(company string) bool { return p.all || slices.Contains(p.companies, company) }

func (p pauses) none() bool { return !p.all && len(p.companies) == 0 }

// String is for people.
func (p pauses) String() string {
	switch {
	case p.all:
		return "all companies"
	case p.none():
		return "none"
	}
	return strings.Join(p.companies, ", ")
}

// with is p after a company, or all of them for "", was paused or resumed.
func (p pauses) with(company string, paused bool) (pauses, error) {
	rest := slices.DeleteFunc(slices.Clone(p.companies), func(c string) bool { return c == company })
	switch {
	case company == "":
		return pauses{all: paused}, nil
	case p.all && paused:
		return p, nil
	case p.all:
		return p, fmt.Errorf("all companies are paused: resume without a name, then pause the others by theirs")
	case paused:
		rest = append(rest, company)
		slices.Sort(rest)
	}
	return pauses{companies: rest}, nil
}

// write keeps p in the file, for good: the change is there as a whole or not at all.
func (p pauses) write(file string) error {
	if p.none() {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write kill switch: %w", err)
		}
		return nil
	}
	text := "# While this file is here, no link is inserted for the companies below. Mail flows.\n"
	if p.all {
		text += "*\n"
	}
	for _, c := range p.companies {
		text += c + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write kill switch: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".paused-*")
	if err != nil {
		return fmt.Errorf("write kill switch: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	// Another user may have made the file than the one that the relay runs as.
	if err := errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("write kill switch: %w", err)
	}
	if err := os.Rename(temp.Name(), file); err != nil {
		return fmt.Errorf("write kill switch: %w", err)
	}
	return nil
}

// killSwitch follows the file in the running relay. Its methods may be used from
// several goroutines.
type killSwitch struct {
	file      string
	companies func() []string // ids in use
	log       *slog.Logger
	gauge     *prometheus.GaugeVec

	mu  sync.Mutex // serialises look and set; guards err
	err string     // of the last look
	now atomic.Pointer[pauses]
}

// newKillSwitch reads the file, so that not even the first mail is edited against it.
func newKillSwitch(file string, companies func() []string, log *slog.Logger, reg prometheus.Registerer) *killSwitch {
	k := &killSwitch{file: file, companies: companies, log: log, gauge: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "careerrelay_paused", Help: "1 if the kill switch keeps a company's mail from being edited.",
	}, []string{"company"})}
	k.now.Store(&pauses{})
	k.look()
	return k
}

// paused tells whether a company's mail must not be edited.
func (k *killSwitch) paused(company string) bool { return k.now.Load().has(company) }

// look takes the file as it is now.
func (k *killSwitch) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := readPauses(k.file)
	if err != nil && err.Error() != k.err {
		k.log.Error("kill switch cannot be read, all companies are paused", "file", k.file, "err", err)
	}
	k.err = ""
	if err != nil {
		k.err = err.Error()
	}
	before := k.now.Swap(&next)
	switch {
	case before.String() == next.String():
	case next.none():
		k.log.Warn("kill switch is off, links are inserted again", "file", k.file)
	default:
		k.log.Warn("kill switch is on, no links are inserted", "companies", next.String(), "file", k.file)
	}
	for _, id := range k.companies() {
		value := 0.0
		if next.has(id) {
			value = 1
		}
		k.gauge.WithLabelValues(id).Set(value)
	}
}

// set pauses or resumes a company, or all of them for "".
func (k *killSwitch) set(company string, paused bool) error {
	if company != "" && !slices.Contains(k.companies(), company) {
		return fmt.Errorf("there is no company %q; known: %s", company, strings.Join(k.companies(), ", "))
	}
	if err := changePauses(k.file, company, paused); err != nil {
		return err
	}
	k.look()
	return nil
}

func changePauses(file, company string, paused bool) error {
	p, err := readPauses(file)
	if err != nil && !paused {
		return err
	}
	if p, err = p.with(company, paused); err != nil {
		return err
	}
	return p.write(file)
}

// run follows the file until ctx ends.
func (k *killSwitch) run(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			k.look()
		}
	}
}

// ServeHTTP is POST /-/pause and POST /-/resume, for ?company=ID or for all.
func (k *killSwitch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := k.set(r.URL.Query().Get("company"), strings.HasSuffix(r.URL.Path, "/pause")); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	fmt.Fprintln(w, "paused: "+k.now.Load().String())
}
