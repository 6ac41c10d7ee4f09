package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/careerrelay/careerrelay/configs"
)

// pauseCommand is the kill switch: from now on nothing is inserted. It works with a
// configuration that has mistakes, with and without a running relay.
type pauseCommand struct {
	Company string `arg:"" optional:"" help:"Id of one company; without it all are paused."`
	Config  string `help:"Configuration file; it may have mistakes." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *pauseCommand) Run(t *terminal) error { return throwSwitch(t, c.Config, c.Company, true) }

// resumeCommand ends what pause began.
type resumeCommand struct {
	Company string `arg:"" optional:"" help:"Id of one company; without it all go on."`
	Config  string `help:"Configuration file; it may have mistakes." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *resumeCommand) Run(t *terminal) error { return throwSwitch(t, c.Config, c.Company, false) }

// follows is how long a running relay may take to follow the kill switch.
const follows = 3 * time.Second

// throwSwitch writes the file of the kill switch, or lets the running relay do it
// if this user may not, and waits until the relay says that it follows.
func throwSwitch(t *terminal, path, company string, paused bool) error {
	site, err := configs.FindSite(path)
	if err != nil {
		return err
	}
	if site.Broken {
		fmt.Fprintf(t.stderr, "%s has mistakes (see: careerrelay check %s); the kill switch works all the same\n", path, path)
	} else if company != "" && !slices.Contains(site.Companies, company) {
		return fmt.Errorf("there is no company %q; known: %s", company, strings.Join(site.Companies, ", "))
	}
	err = changePauses(site.PauseFile, company, paused)
	if errors.Is(err, fs.ErrPermission) && site.Admin != "" {
		err = postSwitch(t.ctx, string(site.Admin), company, paused)
	}
	if err != nil {
		return fmt.Errorf("%w; or do it by hand as root: \"touch %s\" pauses all, removing that file resumes", err, site.PauseFile)
	}
	return sayFollowed(t, site)
}

// sayFollowed waits for the running relay and says what holds now.
func sayFollowed(t *terminal, site configs.Site) error {
	want, err := readPauses(site.PauseFile)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.stdout, "paused: %s (%s)\n", want, site.PauseFile)
	if site.Admin == "" {
		fmt.Fprintln(t.stdout, "a running relay follows within a second; its log says so")
		return nil
	}
	ctx, cancel := context.WithTimeout(t.ctx, follows)
	defer cancel()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		got, err := pausedNow(ctx, string(site.Admin))
		switch {
		case err == nil && got == want.String():
			fmt.Fprintln(t.stdout, "the running relay follows")
			return nil
		case err != nil && ctx.Err() == nil:
			fmt.Fprintf(t.stdout, "no relay answers at %s; one that starts follows\n", site.Admin)
			return nil
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return fmt.Errorf("the relay at %s says that paused is %q: does it run with another configuration? Stopping it keeps links out too, and the mail waits", site.Admin, got)
		}
	}
}

// pausedNow asks a running relay for whom it pauses.
func pausedNow(ctx context.Context, admin string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return "", fmt.Errorf("ask the relay: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask the relay: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("ask the relay: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if paused, found := strings.CutPrefix(strings.TrimSpace(line), "paused: "); found {
			return paused, nil
		}
	}
	return pauses{}.String(), nil
}

// postSwitch lets the running relay write the file.
func postSwitch(ctx context.Context, admin, company string, paused bool) error {
	ctx, cancel := context.WithTimeout(ctx, follows)
	defer cancel()
	verb := map[bool]string{true: "pause", false: "resume"}[paused]
	at := url.URL{Scheme: "http", Host: admin, Path: "/-/" + verb, RawQuery: url.Values{"company": {company}}.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // the status says enough without it
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the relay: %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
