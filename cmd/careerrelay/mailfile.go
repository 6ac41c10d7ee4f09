package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mailFile is one stored message.
type mailFile struct {
	path string // as the user can name it; messages of an mbox have #1, #2 …
	name string // relative to the path that was asked for; where --out puts it
	read func() ([]byte, error)
}

// mailFiles finds the messages below the paths, in lexical order: a file is one
// message or an mbox; of a folder the files ending in .eml and .mbox count, and
// everything in cur and new of a Maildir.
func mailFiles(paths []string) ([]mailFile, error) {
	var found []mailFile
	for _, root := range paths {
		info, err := os.Stat(root)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files, err := fileMessages(root, filepath.Base(root))
			if err != nil {
				return nil, err
			}
			found = append(found, files...)
			continue
		}
		files, err := folderMessages(root)
		if err != nil {
			return nil, err
		}
		found = append(found, files...)
	}
	if len(found) == 0 {
		return nil, errors.New("no mail found: name .eml files, mbox files, Maildirs, or folders that hold some")
	}
	return found, nil
}

func folderMessages(root string) ([]mailFile, error) {
	var found []mailFile
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !isMail(path) {
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files, err := fileMessages(path, name)
		found = append(found, files...)
		return err
	})
	return found, err
}

// isMail tells by its name whether a file in a folder is mail.
func isMail(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".eml", ".mbox":
		return true
	}
	folder := filepath.Base(filepath.Dir(path))
	if folder != "cur" && folder != "new" {
		return false
	}
	tmp, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(path)), "tmp"))
	return err == nil && tmp.IsDir()
}

var mboxMark = []byte("From ")

// fileMessages is the message of a file, or those of an mbox.
func fileMessages(path, name string) ([]mailFile, error) {
	mbox, err := isMbox(path)
	if err != nil {
		return nil, err
	}
	if !mbox {
		return []mailFile{{path: path, name: name, read: func() ([]byte, error) { return os.ReadFile(path) }}}, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []mailFile
	for i, message := range splitMbox(raw) {
		found = append(found, mailFile{
			path: fmt.Sprintf("%s#%d", path, i+1),
			name: filepath.Join(name, fmt.Sprintf("%05d.eml", i+1)),
			read: func() ([]byte, error) { return message, nil },
		})
	}
	return found, nil
}

// isMbox tells by the first bytes; an .eml file is one message whatever it says.
func isMbox(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	start := make([]byte, len(mboxMark))
	n, err := file.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(start[:n], mboxMark) && !strings.EqualFold(filepath.Ext(path), ".eml"), nil
}

// splitMbox takes an mbox apart at its "From " lines, which follow an empty line
// (RFC 4155). Quoted ">From " lines lose one ">" (the mboxrd rule).
func splitMbox(raw []byte) [][]byte {
	var messages [][]byte
	var current []byte
	begun, empty := false, true
	flush := func() {
		if begun {
			messages = append(messages, trimSeparator(current))
		}
	}
	for line := range bytes.Lines(raw) {
		if empty && bytes.HasPrefix(line, mboxMark) {
			flush()
			current, begun, empty = nil, true, false
			continue
		}
		empty = len(bytes.TrimRight(line, "\r\n")) == 0
		if unquoted := bytes.TrimLeft(line, ">"); len(unquoted) < len(line) && bytes.HasPrefix(unquoted, mboxMark) {
			line = line[1:]
		}
		current = append(current, line...)
	}
	flush()
	return messages
}

// trimSeparator removes the empty line that an mbox puts after each message.
func trimSeparator(message []byte) []byte {
	for _, end := range []string{"\r\n", "\n"} {
		if bytes.HasSuffix(message, []byte(end+end)) {
			return message[:len(message)-len(end)]
		}
	}
	return message
}
