package simulated

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"vch.dev/e2e/simulator/simulated/frames"
)

const handshakeWithin = 10 * time.Second

// port is the one listener of all guests: the address that a connection was
// made to tells which is meant. ALPN chooses what it is: the feed, or a
// connection to the kubelet's API.
type port struct {
	log      *slog.Logger
	listener net.Listener
	api      *http.Server
	requests handed

	mutex sync.Mutex
	lives map[netip.Addr]*life
}

func listen(address string, log *slog.Logger) (*port, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &port{log: log, listener: listener, lives: map[netip.Addr]*life{}}
	p.requests = handed{connections: make(chan net.Conn), closed: make(chan struct{}), address: listener.Addr()}
	p.api = &http.Server{
		ConnContext: func(ctx context.Context, connection net.Conn) context.Context {
			return context.WithValue(ctx, lifeKey{}, connection.(*apiConnection).life)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Context().Value(lifeKey{}).(*life).kubelet.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = p.api.Serve(&p.requests) }()
	go p.accept()
	return p, nil
}

type lifeKey struct{}

func (p *port) number() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *port) close() error {
	_ = p.api.Close()
	return p.listener.Close()
}

// serve has a guest reached at its address. One that had it before is not any
// more: addresses are reused.
func (p *port) serve(at netip.Addr, l *life) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.lives[at] = l
}

func (p *port) leave(at netip.Addr, l *life) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.lives[at] == l {
		delete(p.lives, at)
	}
}

func (p *port) meant(connection net.Conn) *life {
	local := connection.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.lives[local]
}

func (p *port) accept() {
	for {
		connection, err := p.listener.Accept()
		if err != nil {
			if temporary, ok := err.(interface{ Temporary() bool }); ok && temporary.Temporary() {
				time.Sleep(looksAgain / 10) // out of file descriptors
				continue
			}
			return
		}
		l := p.meant(connection)
		if l == nil || !l.adopt(connection) {
			_ = connection.Close() // as no machine answers
			continue
		}
		go p.shake(connection, l)
	}
}

// shake makes TLS of a connection to a guest, and serves it.
func (p *port) shake(connection net.Conn, l *life) {
	if l.lost.Load() {
		_, _ = io.Copy(io.Discard, connection) // until the other side has waited long enough
		l.drop(connection)
		return
	}
	_ = connection.SetDeadline(time.Now().Add(handshakeWithin))
	secured := tls.Server(connection, l.tls)
	if err := secured.Handshake(); err != nil {
		p.log.Debug("no TLS", "vm", l.guest.id, "error", err)
		l.drop(connection)
		return
	}
	_ = connection.SetDeadline(time.Time{})
	if secured.ConnectionState().NegotiatedProtocol == frames.ALPN {
		l.converse(secured)
		l.drop(connection)
		return
	}
	handedOver := &apiConnection{Conn: secured, life: l, raw: connection}
	if !p.requests.give(handedOver) {
		l.drop(connection)
	}
}

// apiConnection is one to a guest's kubelet.
type apiConnection struct {
	net.Conn
	life *life
	raw  net.Conn
}

func (c *apiConnection) Close() error {
	err := c.Conn.Close()
	c.life.drop(c.raw)
	return err
}

// handed is a listener of connections that were accepted already.
type handed struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
	address     net.Addr
}

func (h *handed) give(connection net.Conn) bool {
	select {
	case h.connections <- connection:
		return true
	case <-h.closed:
		return false
	}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case connection := <-h.connections:
		return connection, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handed) Addr() net.Addr { return h.address }
