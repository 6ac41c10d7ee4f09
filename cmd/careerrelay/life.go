package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/careerrelay/careerrelay/configs"
)

// life runs the parts of a server and stops them in the opposite order of their
// start, each step with its name. Not for concurrent use but for fail.
type life struct {
	log    *slog.Logger
	steps  []step
	failed chan error // the first part that ended by itself
	wait   sync.WaitGroup
}

type step struct {
	name string
	stop func(context.Context) error
}

func newLife(log *slog.Logger) *life { return &life{log: log, failed: make(chan error, 1)} }

// onStop adds a step to be taken when the server stops.
func (l *life) onStop(name string, stop func(context.Context) error) {
	l.steps = append(l.steps, step{name, stop})
}

// onStopLast adds a step to be taken after all others.
func (l *life) onStopLast(name string, stop func(context.Context) error) {
	l.steps = append([]step{{name, stop}}, l.steps...)
}

// run starts a part that is to run until it is stopped; an error it returns
// ends the whole server. stop waits for it.
func (l *life) run(name string, part func() error) {
	l.wait.Go(func() {
		if err := part(); err != nil {
			select {
			case l.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	})
}

// stop takes all steps, last first, within ctx, and waits for the parts. A step
// that fails does not keep the next from being taken.
func (l *life) stop(ctx context.Context) error {
	var all []error
	for i := len(l.steps) - 1; i >= 0; i-- {
		s, begun := l.steps[i], time.Now()
		err := s.stop(ctx)
		if err != nil {
			all = append(all, fmt.Errorf("stop %s: %w", s.name, err))
		}
		l.log.Debug("stopped", "step", s.name, "took", time.Since(begun), "err", err)
	}
	l.steps = nil
	l.wait.Wait()
	return errors.Join(all...)
}

// listen opens a listener of the configuration; the error says what to do.
func listen(key string, a configs.Address) (net.Listener, error) {
	l, err := net.Listen("tcp", string(a))
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program: stop that one (\"ss -ltnp\" names it), or choose another port", key, a)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: no permission for %s: ports below 1024 want root or CAP_NET_BIND_SERVICE; choose a higher port", key, a)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is no address of this machine", key, a)
	}
	return nil, fmt.Errorf("%s: %w", key, err)
}

// serveHTTP adds an HTTP server to the life.
func (l *life) serveHTTP(name string, listener net.Listener, h http.Handler) {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	l.onStop(name, s.Shutdown)
	l.run(name, func() error {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// newLogger makes the logger of the configuration.
func newLogger(w io.Writer, c configs.Log) *slog.Logger {
	levels := map[configs.Level]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[c.Level]}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
