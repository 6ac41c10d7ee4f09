package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Bounds of one reply. RFC 5321, section 4.5.3.1.5 says 512 octets a line;
// longer ones are met. The buffer is the longest line.
const (
	maxReplyLine  = 8 << 10
	maxReplyBytes = 64 << 10
)

// readReply reads one reply with all its lines. A lone LF ends a line as well;
// anything else that is no reply is errMalformed (RFC 5321, section 4.2).
func readReply(in *bufio.Reader) (Reply, error) {
	var r Reply
	for size := 0; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return Reply{}, fmt.Errorf("%w: line is too long", errMalformed)
		case errors.Is(err, io.EOF) && (len(line) > 0 || len(r.Lines) > 0):
			return Reply{}, io.ErrUnexpectedEOF
		case err != nil:
			return Reply{}, err
		}
		if size += len(line); size > maxReplyBytes {
			return Reply{}, fmt.Errorf("%w: it is too long", errMalformed)
		}
		code, text, more, err := parseReplyLine(bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}))
		if err != nil {
			return Reply{}, err
		}
		if len(r.Lines) > 0 && code != r.Code {
			return Reply{}, fmt.Errorf("%w: its lines have several codes", errMalformed)
		}
		r.Code = code
		r.Lines = append(r.Lines, text)
		if !more {
			return r, nil
		}
	}
}

// parseReplyLine takes "250-text" apart. The text may be missing with its blank.
func parseReplyLine(line []byte) (code int, text string, more bool, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, "", false, fmt.Errorf("%w: no code", errMalformed)
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", false, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, "", false, fmt.Errorf("%w: no blank after the code", errMalformed)
	}
	return code, string(line[4:]), line[3] == '-', nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
