package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/configs"
)

// healthCommand asks the running relay how it is, where there is no curl: 0 if
// it is well.
type healthCommand struct {
	Config string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
	Ready  bool   `help:"Ask whether mail is taken and edited, not only whether the process answers."`
}

func (c *healthCommand) Run(t *terminal) error {
	config, err := configs.Load(c.Config)
	if err != nil {
		return err
	}
	if config.Listen.Admin == "" {
		return errors.New("the relay has no admin listener to ask: set listen.admin")
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	said, err := askAdmin(t.ctx, string(config.Listen.Admin), path)
	if err != nil {
		return err
	}
	_, err = t.stdout.Write(said)
	return err
}

// askAdmin gets a short page of the admin listener of a running relay.
func askAdmin(ctx context.Context, address, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second) // readyz itself gives the store 5 s
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the relay: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the relay: %w", err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("ask the relay at %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the relay at %s: %s", address, strings.TrimSpace(string(said)))
	}
	return said, nil
}
