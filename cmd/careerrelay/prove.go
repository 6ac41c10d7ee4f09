package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/careerrelay/careerrelay/rewrite"
)

// proveCommand tells whether a mail is another one plus insertions.
type proveCommand struct {
	Before string `arg:"" help:"The mail as it was sent."`
	After  string `arg:"" help:"The mail as it arrived."`
	JSON   bool   `name:"json" help:"The insertions as a JSON list."`
}

func (c *proveCommand) Run(t *terminal) error {
	before, err := openMail(c.Before)
	if err != nil {
		return err
	}
	defer before.Close()
	after, err := openMail(c.After)
	if err != nil {
		return err
	}
	defer after.Close()
	inserted, err := rewrite.Compare(before, before.size, after, after.size)
	if d, ok := errors.AsType[*rewrite.Difference](err); ok {
		return fmt.Errorf("%s is not %s plus insertions: %w", c.After, c.Before, d)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		if inserted == nil {
			inserted = []rewrite.Inserted{} // nothing inserted is [], not null
		}
		return writeJSON(t.stdout, inserted)
	}
	printInsertions(t, inserted)
	return nil
}

func printInsertions(t *terminal, inserted []rewrite.Inserted) {
	if len(inserted) == 0 {
		fmt.Fprintln(t.stdout, "nothing inserted: the mails are the same, trace and stamp lines apart")
		return
	}
	for _, in := range inserted {
		if in.Replaced > 0 {
			fmt.Fprintf(t.stdout, "%s: new, in place of %d\n", in.Part, in.Replaced)
			continue
		}
		fmt.Fprintf(t.stdout, "%s: %d bytes inserted, at %d to %d\n", in.Part, in.Bytes, in.Start, in.End)
		for line := range strings.Lines(in.Text) {
			fmt.Fprintf(t.stdout, "  + %s\n", strings.TrimRight(line, "\r\n"))
		}
	}
	fmt.Fprintln(t.stdout, "everything else is the same, byte for byte, trace and stamp lines apart")
}

// mailOnDisk is an open mail and its size.
type mailOnDisk struct {
	*os.File
	size int64
}

func openMail(path string) (*mailOnDisk, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &mailOnDisk{file, info.Size()}, nil
}
