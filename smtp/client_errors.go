package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

var (
	// errBudget: a step took longer than it may. It is a
	// context.DeadlineExceeded, as when the caller's own time is over.
	errBudget = fmt.Errorf("time is over: %w", context.DeadlineExceeded)
	// errBreakerOpen: the servers failed lately and are left alone for a moment.
	errBreakerOpen = fmt.Errorf("circuit breaker is open: %w", errUnreachable)
	// errClosed: the Upstream was closed.
	errClosed = fmt.Errorf("upstream is closed: %w", errUnreachable)
	// errBareNewline: DATA cannot carry a CR or LF that is not part of CRLF
	// (RFC 5321, section 2.3.8), and the server has no CHUNKING.
	errBareNewline = errors.New("message has a bare CR or LF")
	// errContent: Content failed, or did not write what it promised. The transfer was torn.
	errContent = errors.New("message cannot be read")
	// errMalformed: octets came that are no reply.
	errMalformed = errors.New("malformed reply")
)

// MissingExtensionError says that a parameter cannot go to a server that does not offer
// its extension, and that to drop it would change what becomes of the message.
type MissingExtensionError struct {
	Keyword string // of the extension: "DSN"
}

func (e *MissingExtensionError) Error() string { return "server does not offer " + e.Keyword }

// ReplyError is a refusal that there is nobody to hand on to.
type ReplyError struct {
	Reply Reply
}

// Error gives the codes and leaves the words out: they may quote an address.
func (e *ReplyError) Error() string {
	text := fmt.Sprintf("refused with %d", e.Reply.Code)
	if len(e.Reply.Lines) > 0 {
		enhanced, _, _ := strings.Cut(e.Reply.Lines[0], " ")
		if strings.Count(enhanced, ".") == 2 && strings.Trim(enhanced, "0123456789.") == "" && len(enhanced) <= 9 {
			text += " " + enhanced
		}
	}
	return text
}

// UpstreamError is trouble with a server. It never holds an address of a mail,
// nor the words of a reply to MAIL, RCPT or DATA, which may quote one.
type UpstreamError struct {
	Server string // URL of the server; "" if it was none in particular
	Step   string // "connect", "greeting", "MAIL", ...
	Class  error  // errUnreachable, errLost, ...: decides what the client hears
	Cause  error  // may be nil
}

func (e *UpstreamError) Error() string {
	text := e.Step
	if e.Server != "" {
		text = e.Server + ": " + text
	}
	text += ": " + e.Class.Error()
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives the class and the cause.
func (e *UpstreamError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Cause}
}

// classOf names what an error of reading or writing means in a transaction.
func classOf(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errMalformed):
		return errNonsense
	case timedOut(err):
		return errBudget
	}
	return errLost
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
