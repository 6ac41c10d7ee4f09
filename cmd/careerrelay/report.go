package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/careerrelay/careerrelay/configs"
	"github.com/careerrelay/careerrelay/store/bolt"
)

// reportCommand prints what each company has earned, or what its rules find.
type reportCommand struct {
	Config  string `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
	Observe bool   `help:"What would be changed instead, by rule, and near misses."`
	Since   string `help:"With --observe: from this month on." placeholder:"YYYY-MM"`
	JSON    bool   `name:"json" help:"A list of objects for scripts."`
}

func (c *reportCommand) Run(t *terminal) error {
	if _, err := time.Parse("2006-01", c.Since); c.Since != "" && err != nil {
		return fmt.Errorf("--since %q is no month: write 2026-04", c.Since)
	}
	if c.Observe {
		return perform(t, c.Config, "observe", &observeTask{Since: c.Since, JSON: c.JSON}, t.stdout)
	}
	config, err := configs.Load(c.Config)
	if err != nil {
		return err
	}
	rows, err := fetchReport(t.ctx, config)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.stdout, rows)
	}
	return printReport(t.stdout, rows)
}

// fetchReport asks the running relay, which alone can read the store; if none
// runs, it opens the store itself.
func fetchReport(ctx context.Context, config *configs.Config) ([]reportRow, error) {
	if config.Listen.Admin != "" {
		rows, err := askReport(ctx, string(config.Listen.Admin))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return rows, err
		}
	}
	s, err := openConfigured(ctx, config, opening{policy: policyOf(config), create: true})
	if errors.Is(err, bolt.ErrHeld) && config.Listen.Admin == "" {
		return nil, fmt.Errorf("%w; set listen.admin, so that the report can ask the running relay", err)
	}
	if err != nil {
		return nil, err
	}
	counts, err := s.Report(ctx, "")
	paused, unread := readPauses(config.PauseFile())
	return reportRows(counts, companyIDs(config), paused), errors.Join(err, unread, s.Close())
}

// askReport gets the report from the admin listener of a running relay.
func askReport(ctx context.Context, address string) ([]reportRow, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/report", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the relay: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the relay: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // what came says more than the error
		return nil, fmt.Errorf("ask the relay at %s: %s: %s", address, response.Status, strings.TrimSpace(string(text)))
	}
	var rows []reportRow
	if err := json.NewDecoder(response.Body).Decode(&rows); err != nil {
		return nil, fmt.Errorf("ask the relay at %s: %w", address, err)
	}
	return rows, nil
}

func printReport(w io.Writer, rows []reportRow) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "company\tseen\tmatched\tinserted\tsent\topened\tby machines\topted in\topted out\tcounted\tcredits\tredeemed\t")
	for _, r := range rows {
		if r.Paused {
			r.Company += " (paused)"
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Company, r.Seen, r.Matched, r.Inserted, r.Sent,
			r.OpenedHuman, r.OpenedMachine, r.OptedIn, r.OptedOut, r.Counted, r.Earned, r.Redeemed)
	}
	return tw.Flush()
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
