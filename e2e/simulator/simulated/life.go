package simulated

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"sync"
	"sync/atomic"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/simulated/agent"
	"vch.dev/e2e/simulator/simulated/frames"
	"vch.dev/e2e/simulator/simulated/kubelet"
)

// life is one run of a clone: its identity, its connections and its kubelet.
type life struct {
	guest   *Guest
	host    guest.Host
	tls     *tls.Config
	bootID  string
	kubelet *kubelet.Kubelet
	relay   relay
	lost    atomic.Bool

	mutex       sync.Mutex
	who         agent.Identity
	known       bool // what Pod there is
	refused     string
	ended       bool
	connections map[net.Conn]struct{}
	feed        net.Conn // the newest of them that is one
}

// live begins to serve. The guest's mutex is held.
func (g *Guest) live(host guest.Host, who agent.Identity) (*life, error) {
	pool, err := g.backend.pool(who.ClientCA)
	if err != nil {
		return nil, err
	}
	l := &life{
		guest: g, host: host, who: who, bootID: random(), connections: map[net.Conn]struct{}{},
		tls: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{g.disk.certificate},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			NextProtos: []string{frames.ALPN, "http/1.1"}, SessionTicketsDisabled: true,
		},
	}
	l.kubelet = kubelet.New(l, kubelet.RealClock, g.script, g.backend.config.Log)
	g.backend.port.serve(who.Address.Addr(), l)
	return l, nil
}

// end cuts what is connected: nothing is said any more.
func (l *life) end() {
	l.guest.backend.port.leave(l.identity().Address.Addr(), l)
	l.kubelet.Stop()
	l.mutex.Lock()
	l.ended = true
	open := l.connections
	l.connections = nil
	l.mutex.Unlock()
	for connection := range open {
		_ = connection.Close()
	}
}

// adopt keeps a connection, to be cut with the guest; false: it has ended.
func (l *life) adopt(connection net.Conn) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.ended {
		return false
	}
	l.connections[connection] = struct{}{}
	return true
}

func (l *life) drop(connection net.Conn) {
	l.mutex.Lock()
	delete(l.connections, connection)
	l.mutex.Unlock()
	_ = connection.Close()
}

func (l *life) identity() agent.Identity {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.who
}

// Request implements kubelet.Outside.
func (l *life) Request(request kubelet.Request, answered func(code int)) bool {
	return l.relay.ask(request, answered)
}

// Lost implements kubelet.Outside: connections stay, and nothing answers.
func (l *life) Lost() {
	l.lost.Store(true)
	l.kubelet.Stop()
}

// Crash implements kubelet.Outside.
func (l *life) Crash() { _ = l.guest.Kill() }

// machineID is fixed for a clone's life.
func machineID(cloneID string) string {
	sum := sha256.Sum256([]byte("machine-id:" + cloneID))
	return hex.EncodeToString(sum[:])[:32]
}

func random() string {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes)
	return hex.EncodeToString(bytes)
}
