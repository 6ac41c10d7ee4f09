package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/careerrelay/careerrelay/configs"
)

func TestLifeStopsInReverse(t *testing.T) {
	l := newLife(slog.New(slog.DiscardHandler))
	var order []string
	release := make(chan struct{})
	for _, name := range []string{"store", "pages", "mail"} {
		l.onStop(name, func(context.Context) error {
			order = append(order, name)
			if name == "pages" {
				return errors.New("stuck")
			}
			if name == "store" {
				close(release)
			}
			return nil
		})
	}
	ended := false
	l.run("part", func() error { <-release; ended = true; return nil })
	err := l.stop(t.Context())
	if want := []string{"mail", "pages", "store"}; !slices.Equal(order, want) {
		t.Errorf("order = %q, want %q", order, want)
	}
	if err == nil || err.Error() != "stop pages: stuck" {
		t.Errorf("err = %v", err)
	}
	if !ended {
		t.Error("stop did not wait for a part")
	}
}

func TestLifeReportsFailedPart(t *testing.T) {
	l := newLife(slog.New(slog.DiscardHandler))
	l.run("mail", func() error { return errors.New("broken") })
	if err := <-l.failed; err.Error() != "mail: broken" {
		t.Errorf("err = %v", err)
	}
}

func TestListenInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listen("listen.smtp[0]", configs.Address(l.Addr().String()))
	if err == nil || !strings.Contains(err.Error(), "listen.smtp[0]") || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("err = %v; want key, cause and remedy", err)
	}
	_, err = listen("listen.web", "192.0.2.1:0")
	if err == nil || !strings.Contains(err.Error(), "no address of this machine") {
		t.Errorf("err = %v", err)
	}
}
