package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/careerrelay/careerrelay/store"
)

// outboxCommand shows what waits for the agency, and sends dead letters again.
type outboxCommand struct {
	Requeue []int64 `help:"Send these dead letters again, by number." placeholder:"NUMBER"`
	All     bool    `help:"Send all dead letters again."`
	JSON    bool    `name:"json" help:"A list of objects for scripts."`
	Config  string  `help:"Configuration file." default:"careerrelay.yaml" placeholder:"FILE"`
}

func (c *outboxCommand) Run(t *terminal) error {
	return perform(t, c.Config, "outbox", &outboxTask{Requeue: c.Requeue, All: c.All, JSON: c.JSON}, t.stdout)
}

type outboxTask struct {
	Requeue   []int64
	All, JSON bool
}

func (o *outboxTask) do(ctx context.Context, in *office, out io.Writer) error {
	if o.All || len(o.Requeue) > 0 {
		if err := in.note(ctx, store.NoteAccess, "requeue deliveries", "", "", fmt.Sprint(o.Requeue)); err != nil {
			return err
		}
	}
	list, err := in.store.Deliveries(ctx)
	if err != nil {
		return err
	}
	again := o.Requeue
	if o.All {
		again = nil
		for _, d := range list {
			if d.Dead {
				again = append(again, d.ID)
			}
		}
	}
	var refused []error
	for _, id := range again {
		refused = append(refused, requeue(ctx, in.store, id, o.All))
	}
	if list, err = in.store.Deliveries(ctx); err != nil {
		return err
	}
	if o.JSON {
		if list == nil {
			list = []store.Delivery{}
		}
		return errors.Join(append(refused, writeJSON(out, list))...)
	}
	return errors.Join(append(refused, printDeliveries(out, list))...)
}

// requeue sends one delivery again. Of all dead letters, those whose consent
// ended stay behind.
func requeue(ctx context.Context, outbox store.Outbox, id int64, all bool) error {
	err := outbox.Requeue(ctx, id)
	switch {
	case errors.Is(err, store.ErrWrongState) && all:
		return nil
	case errors.Is(err, store.ErrWrongState):
		return fmt.Errorf("delivery %d: the consent has ended: nothing may be handed over any more", id)
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("delivery %d: there is none of this number", id)
	}
	return err
}

func printDeliveries(w io.Writer, list []store.Delivery) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing waits for the agency")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "number\tevent\tcompany\treferral\tsince\tattempts\tnext\tlast failure")
	for _, d := range list {
		next := d.Next.Format(time.RFC3339)
		if d.Dead {
			next = "dead"
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", d.ID, d.Event, d.Company, d.Referral, d.At.Format(time.RFC3339), d.Attempts, next, d.Error)
	}
	return tw.Flush()
}

// tokenCommand makes a token for the agency's API.
type tokenCommand struct{}

func (tokenCommand) Run(t *terminal) error {
	token := strings.ToLower(rand.Text()) // 128 bits at least
	sum := sha256.Sum256([]byte(token))
	_, err := fmt.Fprintf(t.stdout, "token, for the agency:        %s\nsha256, for agency.api_tokens: %s\n", token, hex.EncodeToString(sum[:]))
	return err
}
