package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
)

// Proxy is the relay: it serves clients and carries their messages upstream.
// All methods are safe for concurrent use.
type Proxy struct {
	o         Options // with defaults filled in
	log       *slog.Logger
	metrics   *metrics
	stamp     stamper
	memory    memory
	buffers   dataBuffers
	traffic   traffic
	delivered delivered

	directory   atomic.Pointer[directory]
	inspections chan struct{} // one place per message that is inspected
	logins      chan struct{} // one place per password that is checked: a check costs up to 64 MiB

	mu      sync.Mutex         // guards clients
	clients map[netip.Addr]int // sessions by address, or by /64
	active  int                // all sessions
}

// New makes a Proxy. It opens no connection; mistakes in o are errors.
func New(o Options) (*Proxy, error) {
	if o.Hostname == "" || o.Referrals == nil || o.Keys == nil || o.Link == nil || len(o.StampKey) == 0 {
		return nil, errors.New("make proxy: Hostname, Referrals, Keys, Link and StampKey are required")
	}
	o.Limits, o.Timeouts = o.Limits.withDefaults(), o.Timeouts.withDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Paused == nil {
		o.Paused = func(string) bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	p := &Proxy{
		o: o, log: o.Logger, metrics: newMetrics(o.Registerer), stamp: stamper{o.StampKey},
		memory:      memory{budget: o.Limits.Memory},
		inspections: make(chan struct{}, o.Limits.Messages),
		logins:      make(chan struct{}, 2),
		clients:     make(map[netip.Addr]int),
	}
	if err := p.SetCompanies(o.Companies); err != nil {
		return nil, err
	}
	return p, nil
}

// SetCompanies replaces all companies at once. A message that is being decided
// keeps the rules it began with; each later one, also of clients that are
// connected, has the new ones. Upstreams that no company has any more are closed.
// On error the old ones stay. Calls must not overlap.
func (p *Proxy) SetCompanies(companies []Company) error {
	next, err := newDirectory(&p.o, companies, p.directory.Load())
	if err != nil {
		return fmt.Errorf("set companies: %w", err)
	}
	if err := p.directory.Swap(next).closeUnused(next); err != nil {
		p.log.Warn("cannot close an upstream that is not used any more", slog.Any("err", err))
	}
	return nil
}

// Close closes the upstreams, after all calls of Serve have returned.
func (p *Proxy) Close() error { return p.directory.Load().closeUnused(nil) }

// Serve takes clients from l until ctx ends, lets running transactions finish
// (at most Timeouts.Drain) and returns. It closes l. Several calls may run at a
// time, one per listener.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	return p.ServeDoor(ctx, l, Door{})
}

// Door is what is special about one listener.
type Door struct {
	ImplicitTLS bool // clients begin with the TLS handshake
	Certified   bool // only clients with a verified certificate may log in or send
}

// ServeDoor is Serve for a listener that is not like the others.
func (p *Proxy) ServeDoor(ctx context.Context, l net.Listener, d Door) error {
	if p.o.TLS == nil && (d.ImplicitTLS || d.Certified) {
		return errors.New("serve with TLS: no certificate is configured")
	}
	defer l.Close() // a second Close is no harm
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	// Sessions outlive ctx, so that their transactions can end in peace; hard
	// ends them too.
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { p.countTraffic(ctx) })
	err := p.acceptClients(ctx, l, func(conn net.Conn) {
		running.Go(func() { p.talk(ctx, hard, conn, d) })
	})
	drain() // also when the listener failed
	timer := time.AfterFunc(p.o.Timeouts.Drain, stop)
	defer timer.Stop()
	running.Wait()
	p.FlushTraffic(ctx)
	return err
}

// acceptClients hands out connections until ctx ends. An error that may pass,
// such as too many open files, costs a pause and not the listener.
func (p *Proxy) acceptClients(ctx context.Context, l net.Listener, start func(net.Conn)) error {
	pause := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			start(conn)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept clients: %w", err)
		}
		p.log.Error("cannot accept a client", slog.Any("err", err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, time.Second)
	}
}

// talk runs one session from the first to the last octet.
func (p *Proxy) talk(ctx, hard context.Context, conn net.Conn, d Door) {
	defer context.AfterFunc(hard, func() { conn.Close() })()
	defer func() {
		if r := recover(); r != nil {
			conn.Close()
			p.metrics.panics.Inc()
			p.log.Error("session ended by a panic", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
		}
	}()
	conn, client, err := p.identify(conn)
	if err != nil {
		p.metrics.refused.WithLabelValues("proxy_header").Inc()
		conn.Close()
		return
	}
	leave, err := p.enter(client)
	if err != nil {
		p.metrics.refused.WithLabelValues("too_many").Inc()
		refuse(conn, d.ImplicitTLS, replyFor(err))
		return
	}
	defer leave()
	if d.ImplicitTLS {
		conn = tls.Server(conn, p.o.TLS)
	}
	newSession(p, ctx, hard, conn, client, d).run()
}

// refuse says why, and leaves; it does not wait for a client that does not read.
func refuse(conn net.Conn, implicit bool, r Reply) {
	if !implicit && conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = conn.Write(r.append(nil)) // the client may be gone
	}
	conn.Close()
}

// identify finds out who the client is; behind a trusted load balancer from the
// PROXY header, which must then be there.
func (p *Proxy) identify(conn net.Conn) (net.Conn, netip.Addr, error) {
	peer := addrOf(conn.RemoteAddr())
	trusted := slices.ContainsFunc(p.o.ProxyProtocol, func(n netip.Prefix) bool { return n.Contains(peer) })
	if !trusted {
		return conn, peer, nil
	}
	wrapped := proxyproto.NewConn(conn, proxyproto.WithPolicy(proxyproto.REQUIRE),
		proxyproto.SetReadHeaderTimeout(p.o.Timeouts.Handshake))
	if wrapped.ProxyHeader() == nil {
		return conn, peer, errors.New("read PROXY header: none came")
	}
	return wrapped, addrOf(wrapped.RemoteAddr()), nil
}

// addrOf is the address of a peer; the zero Addr for a peer that has none, such
// as one on a pipe.
func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// enter counts a session; leave must be called at its end.
func (p *Proxy) enter(client netip.Addr) (leave func(), err error) {
	group := client
	if client.Is6() {
		prefix, err := client.Prefix(64)
		if err != nil {
			return nil, fmt.Errorf("group client: %w", err)
		}
		group = prefix.Addr()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active >= p.o.Limits.Connections || p.clients[group] >= p.o.Limits.ConnectionsPerIP {
		return nil, errTooMany
	}
	p.active++
	p.clients[group]++
	p.metrics.sessions.Inc()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.active--
		if p.clients[group]--; p.clients[group] == 0 {
			delete(p.clients, group)
		}
		p.metrics.sessions.Dec()
	}, nil
}
