package simulated

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/simulated/agent"
	"vch.dev/e2e/simulator/simulated/frames"
)

// machine is a VM's side of a guest.
type machine struct {
	mutex  sync.Mutex
	info   map[string]string
	said   chan string // reports
	frozen chan struct{}
	exited chan error
}

func (m *machine) InfoGet(key string) (string, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	value, ok := m.info[key]
	return value, ok
}

func (m *machine) InfoSet(key, value string) error {
	if key == agent.ReportKey {
		m.said <- value
	}
	return nil
}
func (m *machine) Frozen() error    { close(m.frozen); return nil }
func (m *machine) Exited(err error) { m.exited <- err }

func newMachine(key, value string) *machine {
	return &machine{
		info: map[string]string{key: value}, said: make(chan string, 9), frozen: make(chan struct{}), exited: make(chan error, 1),
	}
}

// provider is a client certificate and its CA.
type provider struct {
	ca   string
	cert tls.Certificate
}

func newProvider(t *testing.T) provider {
	t.Helper()
	sign := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "provider"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, signer := sign(ca, ca, nil)
	leaf, key := sign(client, ca, signer)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return provider{string(text), tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}}
}

// dial is the provider's: a connection to a guest whose certificate is pinned.
func (p provider) dial(t *testing.T, at, pin, protocol string) *tls.Conn {
	t.Helper()
	connection, err := tls.Dial("tcp", at, &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{p.cert}, NextProtos: []string{protocol},
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if sum := sha256.Sum256(raw[0]); "sha256:"+hex.EncodeToString(sum[:]) != pin {
				return errors.New("another certificate")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	return connection
}

func (p provider) identity(number int) string {
	return fmt.Sprintf(`{"cloneId":"c%d","pod":{"namespace":"ns","name":"web","uid":"u%d"},"node":"n","address":"127.0.77.%d/8","clientCA":%q}`,
		number, number, number, p.ca)
}

func told(t *testing.T, m *machine) (report struct {
	Phase, Fingerprint, Address, Message string
	Port                                 int
}) {
	t.Helper()
	select {
	case text := <-m.said:
		if err := json.Unmarshal([]byte(text), &report); err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no report")
	}
	return report
}

func begin(t *testing.T) (*Backend, *Guest) {
	t.Helper()
	backend, err := New(Config{Listen: "0.0.0.0:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = backend.Close() })
	host := newMachine(agent.ParentKey, `{"parentId":"p1","node":"n","freeze":true,"setup":{}}`)
	parent, err := backend.PowerOn(context.Background(), guest.VM{ID: "parent"}, host)
	if err != nil {
		t.Fatal(err)
	}
	if report := told(t, host); report.Phase != agent.Warm {
		t.Fatalf("%+v", report)
	}
	<-host.frozen
	return backend, parent.(*Guest)
}

func clone(t *testing.T, backend *Backend, parent *Guest, id, identity string) (*Guest, *machine) {
	t.Helper()
	host := newMachine(agent.IdentityKey, identity)
	made, err := backend.InstantClone(context.Background(), parent, guest.VM{ID: id}, host)
	if err != nil {
		t.Fatal(err)
	}
	return made.(*Guest), host
}

func next(t *testing.T, connection io.Reader) map[string]any {
	t.Helper()
	body, err := frames.Read(connection)
	if err != nil {
		t.Fatal(err)
	}
	var frame map[string]any
	if err := json.Unmarshal(body, &frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

func send(t *testing.T, connection io.Writer, text string) {
	t.Helper()
	if err := frames.Write(connection, json.RawMessage(text)); err != nil {
		t.Fatal(err)
	}
}

func TestAGuestIsReachedAtItsAddressFedAndAsksForItsPod(t *testing.T) {
	backend, parent := begin(t)
	p := newProvider(t)
	_, host := clone(t, backend, parent, "vm-1", p.identity(1))
	_, other := clone(t, backend, parent, "vm-2", p.identity(2))
	report, others := told(t, host), told(t, other)
	if report.Phase != agent.Ready || report.Address != "127.0.77.1" || report.Fingerprint == others.Fingerprint {
		t.Fatalf("%+v", report)
	}
	at := fmt.Sprintf("%s:%d", report.Address, report.Port)
	feed := p.dial(t, at, report.Fingerprint, frames.ALPN)
	send(t, feed, `{"type":"hello","protocol":1,"podUID":"u1","cloneId":"c1","time":1}`)
	if welcome := next(t, feed); welcome["type"] != "welcome" || welcome["podUID"] != "u1" || welcome["resumed"] != false {
		t.Fatalf("%v", welcome)
	}
	send(t, feed, `{"type":"routes","apply":[],"remove":[],"first":true,"last":true}`)
	send(t, feed, `{"type":"snapshot","objects":[{"kind":"Node","metadata":{"name":"n"}},
		{"kind":"Pod","metadata":{"namespace":"ns","name":"web","uid":"u1"},"spec":{"containers":[{"name":"main","image":"a"}]}}]}`)
	patch := next(t, feed)
	if patch["verb"] != "patchStatus" || patch["name"] != "web" ||
		patch["contentType"] != "application/strategic-merge-patch+json" {
		t.Errorf("%v", patch)
	}
	send(t, feed, fmt.Sprintf(`{"type":"reply","id":%v,"code":200,"object":{}}`, patch["id"]))
	send(t, feed, `{"type":"ping"}`)
	if pong := next(t, feed); pong["type"] != "pong" {
		t.Errorf("%v", pong)
	}

	api := p.dial(t, at, report.Fingerprint, "http/1.1")
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return api, nil },
	}}
	response, err := client.Get("https://localhost/containerLogs/ns/web/main")
	if err != nil {
		t.Fatal(err)
	}
	logs, _ := io.ReadAll(response.Body)
	if !strings.Contains(string(logs), "simulated container main started") {
		t.Errorf("its logs: %s", logs)
	}

	again := p.dial(t, at, report.Fingerprint, frames.ALPN) // another provider takes over
	send(t, again, `{"type":"hello","protocol":1,"podUID":"u1","cloneId":"c1","time":1}`)
	if welcome := next(t, again); welcome["resumed"] != true {
		t.Errorf("%v", welcome)
	}
	if _, err := frames.Read(feed); err == nil {
		t.Error("the connection before is still served")
	}
}

func TestStrangersAndWrongPodsAreNotServed(t *testing.T) {
	backend, parent := begin(t)
	p := newProvider(t)
	_, host := clone(t, backend, parent, "vm-1", p.identity(3))
	report := told(t, host)
	at := fmt.Sprintf("%s:%d", report.Address, report.Port)
	stranger := newProvider(t).dial(t, at, report.Fingerprint, frames.ALPN)
	if _, err := frames.Read(stranger); err == nil {
		t.Error("another CA's client is served")
	}
	wrong := p.dial(t, at, report.Fingerprint, frames.ALPN)
	send(t, wrong, `{"type":"hello","protocol":1,"podUID":"u9","cloneId":"c3","time":1}`)
	if answer := next(t, wrong); answer["reason"] != "WrongPod" {
		t.Errorf("%v", answer)
	}
	host.mutex.Lock()
	host.info[agent.IdentityKey] = p.identity(4)
	host.mutex.Unlock()
	copied := p.dial(t, at, report.Fingerprint, frames.ALPN)
	send(t, copied, `{"type":"hello","protocol":1,"podUID":"u3","cloneId":"c3","time":1}`)
	if answer := next(t, copied); answer["reason"] != "CloneOfClone" {
		t.Errorf("%v", answer)
	}
	if report := told(t, host); report.Phase != agent.Refused {
		t.Errorf("%+v", report)
	}
}

func TestAGuestKeepsItsKeyOverAResetAndIsGoneWhenItIsOff(t *testing.T) {
	backend, parent := begin(t)
	p := newProvider(t)
	g, host := clone(t, backend, parent, "vm-1", p.identity(5))
	before := told(t, host)
	if err := g.Reset(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after := told(t, host); after.Fingerprint != before.Fingerprint {
		t.Error("it has another key")
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-host.exited; err == nil {
		t.Error("it ended without a reason")
	}
	connection, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", before.Address, before.Port), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		_ = connection.Close()
		t.Error("a guest that is off answers")
	}
}

func TestOnlyAFrozenGuestIsCloned(t *testing.T) {
	backend, parent := begin(t)
	g, _ := clone(t, backend, parent, "vm-1", newProvider(t).identity(6))
	_, err := backend.InstantClone(context.Background(), g, guest.VM{ID: "vm-2"}, newMachine("", ""))
	if !errors.Is(err, guest.ErrNotFrozen) {
		t.Errorf("%v", err)
	}
}
