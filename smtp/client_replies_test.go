package smtp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

// pipeConversation is a conversation in the middle of its life.
func pipeConversation(conn net.Conn) *conversation {
	return &conversation{raw: conn, conn: conn, in: bufio.NewReaderSize(conn, maxReplyLine), timeouts: UpstreamTimeouts{}.withDefaults()}
}

func TestReadReply(t *testing.T) {
	table := []struct {
		name, text string
		want       Reply
		err        error
	}{
		{"one line", "250 2.0.0 Ok\r\n", Reply{250, []string{"2.0.0 Ok"}}, nil},
		{"several lines", "550-5.7.1 a\r\n550-\r\n550 5.7.1 b\r\n", Reply{550, []string{"5.7.1 a", "", "5.7.1 b"}}, nil},
		{"code alone", "250\r\n", Reply{250, []string{""}}, nil},
		{"lone LF", "250-a\n250 b\n", Reply{250, []string{"a", "b"}}, nil},
		{"octets", "250 \xff\x01 \u65e5\r\n", Reply{250, []string{"\xff\x01 \u65e5"}}, nil},
		{"line of 4000", "250 " + strings.Repeat("x", 4000) + "\r\n", Reply{250, []string{strings.Repeat("x", 4000)}}, nil},
		{"nothing", "", Reply{}, io.EOF},
		{"cut in the line", "250 O", Reply{}, io.ErrUnexpectedEOF},
		{"cut between lines", "250-a\r\n", Reply{}, io.ErrUnexpectedEOF},
		{"no code", "hello\r\n", Reply{}, errMalformed},
		{"empty line", "\r\n", Reply{}, errMalformed},
		{"code of two digits", "25 Ok\r\n", Reply{}, errMalformed},
		{"code of four digits", "2500 Ok\r\n", Reply{}, errMalformed},
		{"code below 200", "199 Ok\r\n", Reply{}, errMalformed},
		{"code above 599", "600 Ok\r\n", Reply{}, errMalformed},
		{"codes differ", "250-a\r\n550 b\r\n", Reply{}, errMalformed},
		{"line too long", "250 " + strings.Repeat("x", maxReplyLine) + "\r\n", Reply{}, errMalformed},
		{"endless", strings.Repeat("250-x\r\n", maxReplyBytes), Reply{}, errMalformed},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", Reply{}, errMalformed},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			got, err := readReply(bufio.NewReaderSize(strings.NewReader(row.text), maxReplyLine))
			if !errors.Is(err, row.err) || !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %.80v, %v, want %.80v, %v", got, err, row.want, row.err)
			}
		})
	}
}

func TestReadExtensions(t *testing.T) {
	e, mechanisms, startTLS := readExtensions(Reply{250, []string{"mx.example Hello", "size 1000", "PIPELINING", "StartTLS", "auth PLAIN login", "AUTH=XOAUTH2", "Dsn ", "", "X-A  b c"}})
	want := Extensions{"SIZE": "1000", "PIPELINING": "", "DSN": "", "X-A": "b c"}
	if !reflect.DeepEqual(e, want) || strings.Join(mechanisms, " ") != "PLAIN LOGIN XOAUTH2" || !startTLS {
		t.Errorf("got %v, %v, %v", e, mechanisms, startTLS)
	}
}

// FuzzReadReply: no panic, bounded, and what is read is written as it was.
func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 Ok\r\n", "250-a\r\n250 b\r\n", "250\r\n", "354 go\n", "\x00", "250-a\r\n550 b\r\n", "999 x\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReaderSize(strings.NewReader(string(text)), maxReplyLine)
		r, err := readReply(in)
		if err != nil {
			if r.Code != 0 || r.Lines != nil {
				t.Errorf("an error and a reply: %v, %v", r, err)
			}
			return
		}
		if r.Class() < 2 || r.Class() > 5 || len(r.Lines) == 0 {
			t.Fatalf("got %v", r)
		}
		for _, line := range r.Lines {
			if strings.Contains(line, "\n") {
				t.Errorf("line %q has an end in it", line)
			}
		}
		written := r.append(nil)
		if len(written) > maxReplyLine { // an octet that is not UTF-8 may be written as three
			return
		}
		again, err := readReply(bufio.NewReaderSize(strings.NewReader(string(written)), maxReplyLine))
		if err != nil || again.Code != r.Code || len(again.Lines) != len(r.Lines) {
			t.Errorf("%v is written and read as %v, %v", r, again, err)
		}
	})
}

func TestErrorsKeepAddressesOut(t *testing.T) {
	r := Reply{550, []string{"5.1.1 <candidate@mail.example> unknown"}}
	if got := (&ReplyError{r}).Error(); got != "refused with 550 5.1.1" {
		t.Errorf("got %q", got)
	}
	if got := (&ReplyError{Reply{550, []string{"candidate@mail.example.jp unknown"}}}).Error(); got != "refused with 550" {
		t.Errorf("got %q", got)
	}
}

func TestUntil(t *testing.T) {
	if left := time.Until(until(t.Context(), time.Minute)); left < 59*time.Second || left > time.Minute {
		t.Errorf("got %s, want a minute", left)
	}
}
