package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/careerrelay/careerrelay/configs"
)

// reloading is a reloader over a copy of the sample, with what it applied.
type reloading struct {
	*reloader
	file    string
	applied chan *configs.Config
	fail    error
}

func newReloading(t *testing.T) *reloading {
	t.Helper()
	file := filepath.Join(t.TempDir(), "careerrelay.yaml")
	r := &reloading{file: file, applied: make(chan *configs.Config, 10)}
	r.write(t, string(configs.Sample))
	c, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(c *configs.Config) error {
		if r.fail == nil {
			r.applied <- c
		}
		return r.fail
	}
	r.reloader = newReloader(c, apply, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	return r
}

func (r *reloading) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sampleWith is the sample with a text replaced.
func sampleWith(t *testing.T, old, next string) string {
	t.Helper()
	if !strings.Contains(string(configs.Sample), old) {
		t.Fatalf("the sample does not contain %q", old)
	}
	return strings.Replace(string(configs.Sample), old, next, 1)
}

func TestReloadTakesGoodFile(t *testing.T) {
	r := newReloading(t)
	r.write(t, sampleWith(t, "mode: insert", "mode: off"))
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if got := (<-r.applied).Companies[0].Mode; got != configs.Off {
		t.Errorf("applied mode = %q", got)
	}
	if got := testutil.ToFloat64(r.successful); got != 1 {
		t.Errorf("successful = %v", got)
	}
}

func TestReloadKeepsOld(t *testing.T) {
	tests := []struct {
		name, text, want string
		fail             error
	}{
		{"broken YAML", "listen: [", "not YAML", nil},
		{"mistake", sampleWith(t, "mode: insert", "mode: inset"), `did you mean "insert"?`, nil},
		{"needs a restart", sampleWith(t, "127.0.0.1:2525", "127.0.0.1:2526"), "need a restart: listen", nil},
		{"cannot be applied", sampleWith(t, "mode: insert", "mode: off"), "rules/x.yaml", errors.New("rules/x.yaml: broken")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReloading(t)
			r.fail = tt.fail
			old := r.current
			r.write(t, tt.text)
			if err := r.reload(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("reload = %v, want %q", err, tt.want)
			}
			if r.current != old || len(r.applied) > 0 {
				t.Error("the old configuration was replaced")
			}
			if got := testutil.ToFloat64(r.successful); got != 0 {
				t.Errorf("successful = %v, want 0", got)
			}
			r.fail = nil
			r.write(t, string(configs.Sample))
			if err := r.reload(); err != nil || testutil.ToFloat64(r.successful) != 1 {
				t.Errorf("mended file: %v", err)
			}
		})
	}
}

func TestReloadPoll(t *testing.T) {
	r := newReloading(t)
	r.poll()
	if len(r.applied) != 0 {
		t.Error("an unchanged file was applied")
	}
	r.write(t, sampleWith(t, "mode: insert", "mode: off"))
	r.poll()
	r.poll()
	if got := (<-r.applied).Companies[0].Mode; got != configs.Off || len(r.applied) != 0 {
		t.Errorf("applied mode %q, and %d more", got, len(r.applied))
	}
	r.write(t, sampleWith(t, "mode: insert", "mode: inset"))
	r.poll()
	failed := r.seen
	r.poll()
	if r.seen != failed || testutil.ToFloat64(r.successful) != 0 {
		t.Error("a bad file must be tried once, not at each poll")
	}
}

func TestReloadRun(t *testing.T) {
	r := newReloading(t)
	ctx, cancel := context.WithCancel(t.Context())
	hup, tick, done := make(chan os.Signal), make(chan time.Time), make(chan struct{})
	go func() { r.run(ctx, hup, tick); close(done) }()

	hup <- os.Interrupt
	if got := (<-r.applied).Companies[0].Mode; got != configs.Insert {
		t.Errorf("signal applied mode %q", got)
	}
	r.write(t, sampleWith(t, "mode: insert", "mode: observe"))
	tick <- time.Time{}
	if got := (<-r.applied).Companies[0].Mode; got != configs.Observe {
		t.Errorf("poll applied mode %q", got)
	}
	cancel()
	<-done
}
