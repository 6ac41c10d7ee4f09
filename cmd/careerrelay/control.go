package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store"
)

// The running relay does what commands ask for, since it alone can open the
// embedded database. It listens on a socket file beside it that only its own
// user (and root) can open: what is asked there shows personal data, so a port on
// loopback, which every user of the machine can reach, would not do.

// controlPath is the socket of the relay that has the embedded store.
func controlPath(c *configs.Config) string { return c.StorePath() + ".sock" }

// tasks makes an empty task by its command's name.
func tasks() map[string]func() task {
	return map[string]func() task{
		"audit":        func() task { return new(auditTask) },
		"redeem":       func() task { return new(redeemTask) },
		"introduction": func() task { return new(introductionTask) },
		"ledger":       func() task { return new(ledgerTask) },
		"journal":      func() task { return new(journalTask) },
		"subject":      func() task { return new(subjectTask) },
		"affected":     func() task { return new(affectedTask) },
		"rotate-keys":  func() task { return new(rotateTask) },
		"purge":        func() task { return new(purgeTask) },
		"observe":      func() task { return new(observeTask) },
		"outbox":       func() task { return new(outboxTask) },
		"export":       func() task { return new(exportTask) },
		"backup":       func() task { return new(backupTask) },
	}
}

// request is what a command sends.
type controlRequest struct {
	Actor string          `json:"actor"`
	Task  json.RawMessage `json:"task"`
}

// outcome is the trailer with the error of a task, "" if it went well. said marks
// one whose text was part of the output.
const (
	outcomeTrailer = "Careerrelay-Outcome"
	outcomeGood    = "good"
	outcomeSaid    = "said"
)

// serveControl takes commands until the relay stops. That a socket cannot be made
// costs the commands, not the mail.
func (s *server) serveControl() {
	path := controlPath(s.config)
	l, err := listenPrivately(path)
	if err != nil {
		s.log.Warn("commands cannot reach this relay; stop it to run them", slog.String("socket", path), slog.Any("err", err))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &http.Server{Handler: http.HandlerFunc(s.control), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	s.onStop("commands", func(grace context.Context) error {
		cancel() // a long task stops between two of its steps
		return errors.Join(h.Shutdown(grace), ignoreMissing(os.Remove(path)))
	})
	s.run("commands", func() error {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// listenPrivately makes a socket that only our own user can open. It is made in a
// folder of its own and moved into place, so that there is no moment in which
// others could connect. A socket left behind by a relay that was killed is
// replaced; the lock of the database says that no other relay runs.
func listenPrivately(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s") // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(filepath.Join(dir, "s"), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(dir, "s"), path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// control runs one task and streams what it prints.
func (s *server) control(w http.ResponseWriter, r *http.Request) {
	empty, known := tasks()[strings.TrimPrefix(r.URL.Path, "/")]
	if r.Method != http.MethodPost || !known {
		http.Error(w, "no such command: is it of another version?", http.StatusNotFound)
		return
	}
	job := empty()
	var asked controlRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&asked)
	if err == nil {
		err = json.Unmarshal(asked.Task, job)
	}
	if err != nil {
		http.Error(w, "cannot read the command: is it of another version?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Trailer", outcomeTrailer)
	w.WriteHeader(http.StatusOK)
	err = job.do(r.Context(), s.office(asked.Actor), w)
	w.Header().Set(outcomeTrailer, outcomeOf(err))
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return outcomeGood
	case errors.Is(err, errSaid):
		return outcomeSaid
	}
	return "failed " + url.QueryEscape(err.Error())
}

// askRelay has the running relay do a task; errNoRelay if there is none.
func askRelay(ctx context.Context, config *configs.Config, name string, job task, out io.Writer) error {
	path := controlPath(config)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(job)
	if err == nil {
		body, err = json.Marshal(controlRequest{Actor: whoami(), Task: body})
	}
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://relay/"+name, strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return errNoRelay
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("ask the relay: %s: permission denied: run the command as the relay's user, or as root", path)
	case err != nil:
		return fmt.Errorf("ask the relay: %w", err)
	}
	defer response.Body.Close()
	return readOutcome(response, out)
}

// errNoRelay says that no relay runs that could do a task.
var errNoRelay = errors.New("no relay runs")

func readOutcome(response *http.Response, out io.Writer) error {
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // what came says more than the error
		return fmt.Errorf("ask the relay: %s", strings.TrimSpace(string(text)))
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("the relay stopped in the middle of it: %w", err)
	}
	outcome := response.Trailer.Get(outcomeTrailer)
	text, failed := strings.CutPrefix(outcome, "failed ")
	switch {
	case outcome == outcomeGood:
		return nil
	case outcome == outcomeSaid:
		return errSaid
	case failed:
		if text, err := url.QueryUnescape(text); err == nil {
			return errors.New(text)
		}
	}
	return errors.New("the relay stopped in the middle of it")
}

// office is the running relay's, for one command.
func (s *server) office(actor string) *office {
	return &office{store: s.store, config: s.reloader.config(), actor: actor,
		keys: func() (*store.Keys, error) { return s.keys, nil }, sealer: func() (*store.Sealer, error) { return s.sealer, nil }}
}
