package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/careerrelay/careerrelay/configs"
)

// firstSocket is the file descriptor of the first socket that systemd passes.
const firstSocket = 3

// sockets are listeners that systemd holds for us (sd_listen_fds(3)), by what
// they are for: smtp, smtps, web, admin. It keeps them open while the relay is
// restarted, so that a client waits instead of being refused.
type sockets map[string][]net.Listener

// inheritedSockets takes over the sockets that environment variables speak of,
// and forgets these variables; nil without any.
func inheritedSockets() (sockets, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("inherit sockets: %w", err)
		}
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // meant for another process
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 100 {
		return nil, fmt.Errorf("inherit sockets: LISTEN_FDS=%q is no number of sockets", count)
	}
	s := sockets{}
	for i, name := range socketNames(names, n) {
		if err := s.inherit(firstSocket+i, name); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, s.check()
}

// socketNames are the n names of a list with colons between; those that are
// missing are empty.
func socketNames(list string, n int) []string {
	names := strings.Split(list, ":")
	return append(names, make([]string, max(n-len(names), 0))...)[:n]
}

func (s sockets) inherit(fd int, name string) error {
	file := os.NewFile(uintptr(fd), name)
	l, err := net.FileListener(file) // a duplicate, which programs we start do not get
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("inherit socket %q: %w", name, err)
	}
	s[name] = append(s[name], l)
	return nil
}

// check refuses sockets that nobody would serve: their clients would wait for ever.
func (s sockets) check() error {
	for name, all := range s {
		switch {
		case !slices.Contains([]string{"smtp", "smtps", "web", "admin", "agency"}, name):
			return errors.Join(fmt.Errorf("systemd passes a socket that is named %q: write FileDescriptorName=smtp, smtps, web, admin or agency into its unit", name), s.close())
		case (name == "web" || name == "admin" || name == "agency") && len(all) > 1:
			return errors.Join(fmt.Errorf("systemd passes %d sockets that are named %s: one is enough", len(all), name), s.close())
		}
	}
	return nil
}

// listen is where the sockets listen, as the configuration would say it.
func (s sockets) listen() configs.Listen {
	one := func(name string) configs.Address {
		if len(s[name]) == 0 {
			return ""
		}
		return addressOf(s[name][0])
	}
	l := configs.Listen{Web: one("web"), Admin: one("admin"), Agency: one("agency")}
	for _, socket := range s["smtp"] {
		l.SMTP = append(l.SMTP, addressOf(socket))
	}
	for _, socket := range s["smtps"] {
		l.SMTPS = append(l.SMTPS, addressOf(socket))
	}
	return l
}

// addressOf is the address of a socket; ":25" for all addresses.
func addressOf(l net.Listener) configs.Address {
	return configs.Address(strings.TrimPrefix(l.Addr().String(), "[::]"))
}

// take gives away the next socket for a purpose; nil if there is none.
func (s sockets) take(name string) net.Listener {
	all := s[name]
	if len(all) == 0 {
		return nil
	}
	s[name] = all[1:]
	return all[0]
}

// close closes what was not taken. systemd keeps the sockets themselves.
func (s sockets) close() error {
	var problems []error
	for _, all := range s {
		for _, l := range all {
			problems = append(problems, l.Close())
		}
	}
	return errors.Join(problems...)
}
