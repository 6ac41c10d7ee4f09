package smtptest

import (
	"fmt"
	"time"
)

// Step is an instant in the life of a connection, as the upstream sees it.
type Step string

// The steps, in the order in which they come.
const (
	Connect   Step = "connect"
	Greeting  Step = "greeting"
	Hello     Step = "EHLO"
	StartTLS  Step = "STARTTLS"
	Auth      Step = "AUTH"
	Mail      Step = "MAIL"
	Rcpt      Step = "RCPT"
	Data      Step = "DATA"       // the command; BDAT's first chunk does not pass here
	FirstByte Step = "first byte" // of the message
	MidBody   Step = "mid-body"   // Options.MidBody bytes of the message came
	FinalDot  Step = "final dot"  // the message is whole, and is not kept yet
	AfterDot  Step = "after dot"  // the message is kept; its reply is due
	Reset     Step = "RSET"
	Quit      Step = "QUIT"
)

// Point is a step and how often it was reached in the upstream's life: 1 is the
// first time, 0 every time.
type Point struct {
	Step Step
	Nth  int
}

// At is the point where step is reached, whenever that is.
func At(step Step) Point { return Point{Step: step} }

// First is the point where step is reached for the first time.
func First(step Step) Point { return Point{step, 1} }

type kind int

const (
	says kind = iota + 1
	saysAndHangs
	closes
	resets
	hangs
	garbles
	drips
	breaksTLS
	refuses
)

// Fault is what the upstream does at a point instead of its duty.
type Fault struct {
	kind  kind
	text  string
	pause time.Duration
}

// String names the fault, for tables.
func (f Fault) String() string {
	switch f.kind {
	case says:
		return fmt.Sprintf("%.3s", f.text)
	case saysAndHangs:
		return fmt.Sprintf("%.3s and hang", f.text)
	case drips:
		return "slow"
	}
	return map[kind]string{closes: "close", resets: "RST", hangs: "hang", garbles: "garbage",
		breaksTLS: "TLS failure", refuses: "refuse"}[f.kind]
}

// Say makes the upstream answer with text, of several lines perhaps, separated by "\n":
// "550 5.1.1 no" or "250-one\n250 two". At a step within a message the upstream
// goes on reading afterwards.
func Say(text string) Fault { return Fault{kind: says, text: text} }

// SayAndHang answers and then neither reads nor writes any more.
func SayAndHang(text string) Fault { return Fault{kind: saysAndHangs, text: text} }

// Close ends the connection in good order (FIN) without a reply.
func Close() Fault { return Fault{kind: closes} }

// RST ends the connection with a TCP reset.
func RST() Fault { return Fault{kind: resets} }

// Hang neither reads nor writes any more.
func Hang() Fault { return Fault{kind: hangs} }

// Garbage answers with octets that are no reply.
func Garbage() Fault { return Fault{kind: garbles} }

// Slow does the duty, with the reply octet by octet and a pause before each.
func Slow(pause time.Duration) Fault { return Fault{kind: drips, pause: pause} }

// BadTLS answers a TLS hello with octets that are not TLS. At Connect it is for
// an upstream with implicit TLS.
func BadTLS() Fault { return Fault{kind: breaksTLS} }

// Refuse is for Connect alone: nothing listens. With a Point's Nth it cannot be
// used.
func Refuse() Fault { return Fault{kind: refuses} }
