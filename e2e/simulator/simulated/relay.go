package simulated

import (
	"net"
	"sync"
	"time"

	"vch.dev/e2e/simulator/simulated/frames"
	"vch.dev/e2e/simulator/simulated/kubelet"
)

const writeWithin = 30 * time.Second

// relay sends a kubelet's requests over the newest connection.
type relay struct {
	mutex   sync.Mutex
	link    *link
	number  int
	waiting map[int]func(code int)
}

// link writes frames, one at a time.
type link struct {
	mutex      sync.Mutex
	connection net.Conn
}

func (l *link) send(message any) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_ = l.connection.SetWriteDeadline(time.Now().Add(writeWithin))
	return frames.Write(l.connection, message)
}

// attach has requests go there from now on; those before are given up.
func (r *relay) attach(to *link) {
	r.mutex.Lock()
	given := r.waiting
	r.link, r.waiting = to, map[int]func(code int){}
	r.mutex.Unlock()
	giveUp(given)
}

// detach does nothing if there is a newer connection.
func (r *relay) detach(from *link) {
	r.mutex.Lock()
	var given map[int]func(code int)
	if r.link == from {
		given, r.link, r.waiting = r.waiting, nil, nil
	}
	r.mutex.Unlock()
	giveUp(given)
}

func giveUp(waiting map[int]func(code int)) {
	for _, answered := range waiting {
		answered(0)
	}
}

func (r *relay) ask(request kubelet.Request, answered func(code int)) bool {
	r.mutex.Lock()
	to := r.link
	if to == nil {
		r.mutex.Unlock()
		return false
	}
	r.number++
	number := r.number
	r.waiting[number] = answered
	r.mutex.Unlock()
	err := to.send(map[string]any{
		"type": "request", "id": number, "verb": request.Verb, "namespace": request.Namespace, "name": request.Name,
		"contentType": request.ContentType, "body": request.Body,
	})
	if err != nil {
		_ = to.connection.Close() // its reader gives up what waits
	}
	return true
}

func (r *relay) reply(number, code int) {
	r.mutex.Lock()
	answered := r.waiting[number]
	delete(r.waiting, number)
	r.mutex.Unlock()
	if answered != nil {
		answered(code)
	}
}
