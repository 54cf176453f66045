package simulated

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vch.dev/e2e/simulator/simulated/agent"
	"vch.dev/e2e/simulator/simulated/frames"
	"vch.dev/e2e/simulator/simulated/kubelet"
)

const (
	protocol    = 1
	helloWithin = 10 * time.Second
	silent      = 30 * time.Second // the provider pings every 10 s
	readBuffer  = 2 << 10
)

// routes is how frames about Services begin: there is no kube-proxy to tell, and
// in them is most of what a guest is sent.
var routes = []byte(`{"type":"routes"`)

// frame is any of the provider's.
type frame struct {
	Type     string            `json:"type"`
	Protocol int               `json:"protocol"`
	PodUID   string            `json:"podUID"`
	CloneID  string            `json:"cloneId"`
	Objects  []json.RawMessage `json:"objects"`
	Object   json.RawMessage   `json:"object"`
	ID       int               `json:"id"`
	Code     int               `json:"code"`
}

// refusal is why a connection is not served.
type refusal struct{ reason, message string }

func (r *refusal) Error() string { return r.reason + ": " + r.message }

// converse speaks with a provider until either side ends.
func (l *life) converse(connection *tls.Conn) {
	to := &link{connection: connection}
	reader := bufio.NewReaderSize(connection, readBuffer)
	if err := l.greet(to, reader); err != nil {
		var refused *refusal
		if errors.As(err, &refused) {
			_ = to.send(map[string]string{"type": "refused", "reason": refused.reason, "message": refused.message})
		}
		return
	}
	defer l.relay.detach(to)
	for {
		_ = connection.SetReadDeadline(time.Now().Add(silent))
		body, err := frames.Read(reader)
		if err == nil && l.lost.Load() {
			continue
		}
		if err == nil && !bytes.HasPrefix(body, routes) {
			err = l.hear(to, body)
		}
		if err != nil {
			l.guest.backend.config.Log.Debug("a provider's connection ended", "vm", l.guest.id, "error", err)
			return
		}
	}
}

func (l *life) greet(to *link, reader *bufio.Reader) error {
	_ = to.connection.SetReadDeadline(time.Now().Add(helloWithin))
	body, err := frames.Read(reader)
	if err != nil {
		return err
	}
	var hello frame
	if err := json.Unmarshal(body, &hello); err != nil {
		return err
	}
	if hello.Type != "hello" || hello.Protocol != protocol {
		return fmt.Errorf("the first frame must be hello of protocol %d", protocol)
	}
	who, resumed, err := l.judge(hello)
	if err != nil {
		return err
	}
	l.mutex.Lock()
	previous := l.feed
	l.feed = to.connection
	l.mutex.Unlock()
	if previous != nil {
		_ = previous.Close() // the newest connection replaces the one before
	}
	err = to.send(map[string]any{
		"type": "welcome", "protocol": protocol, "podUID": who.UID(), "agentVersion": agent.Version,
		"kubeletVersion": agent.KubeletVersion, "resumed": resumed, "machineId": machineID(who.CloneID),
		"bootId": l.bootID,
	})
	if err == nil {
		l.relay.attach(to)
		l.kubelet.Connected()
	}
	return err
}

// judge compares a hello with who we are, and that with guestinfo: a machine
// that was cloned from this one must not be fed, and a standby clone may have
// been told its Pod.
func (l *life) judge(hello frame) (agent.Identity, bool, error) {
	value, _ := l.host.InfoGet(agent.IdentityKey)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.refused == "" && value != "" {
		told, err := agent.ParseIdentity(value)
		switch {
		case err != nil:
			return l.who, false, &refusal{"IdentityUnknown", err.Error()}
		case told.CloneID != l.who.CloneID:
			l.refused = "this machine is clone " + l.who.CloneID + "; guestinfo speaks of " + told.CloneID
		case l.who.Binds(told):
			l.who = told
		case told.UID() != l.who.UID():
			l.refused = "this machine is of pod " + l.who.UID() + "; guestinfo speaks of " + told.UID()
		}
		if l.refused != "" {
			_ = l.host.InfoSet(agent.ReportKey, agent.Report(told, agent.Refused, "", 0, l.refused))
		}
	}
	switch {
	case l.refused != "":
		return l.who, false, &refusal{"CloneOfClone", l.refused}
	case hello.PodUID != l.who.UID() || hello.CloneID != l.who.CloneID:
		// A provider that dialled the wrong machine: no reason for the right Pod to stop.
		return l.who, false, &refusal{"WrongPod", "this is clone " + l.who.CloneID}
	}
	return l.who, l.known, nil
}

func (l *life) hear(to *link, body []byte) error {
	var said frame
	if err := json.Unmarshal(body, &said); err != nil {
		return err
	}
	switch said.Type {
	case "ping":
		return to.send(map[string]string{"type": "pong"})
	case "pong":
		return nil
	case "reply":
		l.relay.reply(said.ID, said.Code)
		return nil
	case "snapshot":
		return l.snapshot(said.Objects)
	case "apply":
		pod, err := podOf(said.Object)
		if pod != nil {
			l.kubelet.Apply(pod)
		}
		return err
	case "remove":
		pod, err := podOf(said.Object)
		if pod != nil {
			l.kubelet.Remove()
		}
		return err
	}
	return fmt.Errorf("a provider does not send %q frames", said.Type)
}

// snapshot is all that there is: without a Pod in it there is none.
func (l *life) snapshot(objects []json.RawMessage) error {
	var fed *kubelet.Pod
	for _, object := range objects {
		pod, err := podOf(object)
		if err != nil {
			return err
		}
		if pod != nil {
			fed = pod
		}
	}
	l.mutex.Lock()
	l.known = true
	l.mutex.Unlock()
	if fed == nil {
		l.kubelet.Remove()
	} else {
		l.kubelet.Apply(fed)
	}
	return nil
}

// podOf is the Pod in a fed object, or nil: nothing is done about the others.
func podOf(object json.RawMessage) (*kubelet.Pod, error) {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(object, &kind); err != nil || kind.Kind != "Pod" {
		return nil, err
	}
	pod := new(kubelet.Pod)
	return pod, json.Unmarshal(object, pod)
}
