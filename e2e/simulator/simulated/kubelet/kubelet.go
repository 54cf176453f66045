package kubelet

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	again        = time.Second // after a request that was not done
	firstBackOff = 10 * time.Second
	lastBackOff  = 5 * time.Minute
	killed       = 137
	noConnection = 0 // in the place of a status code
)

// Outside is what a kubelet needs of its guest. Its methods are called without
// the kubelet's lock, and Request's answer must come without it.
type Outside interface {
	// Request asks the cluster for something; answered is called once with the
	// status code, or with 0 if the connection ended before. False: there is no
	// connection; Connected will be called.
	Request(request Request, answered func(code int)) bool
	// Lost makes the guest deaf and dumb.
	Lost()
	// Crash ends the guest.
	Crash()
}

// Clock is time, for tests to go through.
type Clock struct {
	Now   func() time.Time
	After func(d time.Duration, do func()) (stop func() bool)
}

// RealClock is the machine's.
var RealClock = Clock{Now: time.Now, After: func(d time.Duration, do func()) func() bool {
	return time.AfterFunc(d, do).Stop
}}

// Kubelet pretends to run one Pod. It has no goroutine: it moves when something
// is fed, answered or due.
type Kubelet struct {
	outside Outside
	clock   Clock
	log     *slog.Logger

	mutex       sync.Mutex
	usual       Script // what a Pod's annotation is laid over
	script      Script
	pod         *Pod
	state       state
	terminating bool
	version     int // of the status
	told        int // the version that the cluster has
	events      []Request
	inFlight    bool
	connections int  // how often Connected was called
	gone        bool // the Pod's delete is done, or the Pod is no more
	stopped     bool
	epoch       int // of timers: those of an earlier one do nothing
	timers      []func() bool
	changed     chan struct{} // closed at the next change of stage, if somebody waits
}

// New makes the kubelet of a guest.
func New(outside Outside, clock Clock, usual Script, log *slog.Logger) *Kubelet {
	return &Kubelet{outside: outside, clock: clock, usual: usual, log: log}
}

// Apply takes the Pod as it is fed now.
func (k *Kubelet) Apply(pod *Pod) {
	k.do(func() {
		switch {
		case k.pod == nil || k.pod.Metadata.UID != pod.Metadata.UID:
			k.begin(pod)
		default:
			k.pod = pod
		}
		if pod.Metadata.DeletionTimestamp != nil {
			k.terminate()
		}
	})
}

// Remove forgets the Pod: it is no more.
func (k *Kubelet) Remove() {
	k.do(func() {
		k.cancel()
		k.pod, k.gone = nil, true
	})
}

// Follow goes on by another script, from now on.
func (k *Kubelet) Follow(usual Script) {
	k.do(func() {
		k.usual = usual
		if k.pod == nil {
			return
		}
		k.read()
		if k.state.stage == up && !k.terminating {
			k.cancel()
			k.arm()
		}
	})
}

// Connected tells that requests can be sent.
func (k *Kubelet) Connected() { k.do(func() { k.connections++ }) }

// Stop ends all; nothing is said any more.
func (k *Kubelet) Stop() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.cancel()
	k.stopped = true
	k.wake()
}

// do makes a change, and then asks for what is to be asked.
func (k *Kubelet) do(change func()) {
	k.mutex.Lock()
	if !k.stopped {
		change()
	}
	k.mutex.Unlock()
	k.pump()
}

// begin has a new Pod.
func (k *Kubelet) begin(pod *Pod) {
	k.cancel()
	k.pod, k.terminating, k.gone, k.events = pod, false, false, nil
	k.state = state{began: k.clock.Now(), restarts: pod.restarts()}
	if pod.Status.StartTime != nil {
		k.state.began = *pod.Status.StartTime
	}
	if pod.terminal() { // before this guest was booted: there is nothing to do but to wait for its delete
		k.state.stage, k.told = ended, k.version
		return
	}
	if err := k.read(); err != nil {
		k.state.reason, k.state.message = "BadScript", ScriptAnnotation+": "+err.Error()
		k.end(0)
		return
	}
	k.version++
	if k.script.StartMs > 0 {
		k.later(milliseconds(k.script.StartMs), k.run)
		return
	}
	k.run()
}

// read takes the Pod's script.
func (k *Kubelet) read() (err error) {
	k.script = k.usual
	if text := k.pod.Metadata.Annotations[ScriptAnnotation]; text != "" {
		k.script, err = k.usual.Over([]byte(text))
	}
	return err
}

func (k *Kubelet) run() {
	k.state.stage, k.state.started = up, k.clock.Now()
	k.moved()
	if k.script.Events {
		for i, container := range k.pod.Spec.Containers {
			k.events = append(k.events, startedEvent(k.pod, container, k.state.started, i))
		}
	}
	k.arm()
}

// arm starts what the script has for containers that run.
func (k *Kubelet) arm() {
	if k.script.RunMs != nil {
		k.later(milliseconds(*k.script.RunMs), func() { k.exit(k.script.ExitCode) })
	}
	if k.script.LostMs != nil {
		k.later(milliseconds(*k.script.LostMs), func() { go k.outside.Lost() })
	}
	if k.script.CrashMs != nil {
		k.later(milliseconds(*k.script.CrashMs), func() { go k.outside.Crash() })
	}
}

// exit is the containers' own end, after which they may be started again.
func (k *Kubelet) exit(code int) {
	policy := k.pod.Spec.RestartPolicy
	if policy == "Never" || policy == "OnFailure" && code == 0 {
		k.end(code)
		return
	}
	k.cancel()
	k.state.finished, k.state.exitCode = k.clock.Now(), code
	restart := func() {
		k.state.restarts++
		k.run()
	}
	if k.state.restarts == 0 {
		restart()
		return
	}
	k.state.stage = backingOff
	k.moved()
	wait := lastBackOff
	if n := k.state.restarts - 1; n < 5 {
		wait = min(firstBackOff<<n, lastBackOff)
	}
	k.later(wait, restart)
}

func (k *Kubelet) end(code int) {
	k.cancel()
	k.state.stage, k.state.finished, k.state.exitCode = ended, k.clock.Now(), code
	k.moved()
}

// terminate ends the containers of a Pod that is being deleted; the delete
// follows the final status.
func (k *Kubelet) terminate() {
	k.terminating = true
	if k.state.stage == ended {
		return
	}
	k.cancel()
	switch k.state.stage {
	case creating:
		k.end(killed)
		return
	case backingOff:
		k.end(k.state.exitCode)
		return
	}
	grace := time.Duration(0)
	if seconds := k.pod.Metadata.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	switch stop := milliseconds(k.script.StopMs); {
	case stop == 0:
		k.end(0)
	case stop <= grace:
		k.later(stop, func() { k.end(0) })
	default:
		k.later(grace, func() { k.end(killed) })
	}
}

func (k *Kubelet) moved() {
	k.version++
	k.wake()
}

func (k *Kubelet) wake() {
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// later is done unless the timers are cancelled before.
func (k *Kubelet) later(wait time.Duration, what func()) {
	epoch := k.epoch
	k.timers = append(k.timers, k.clock.After(wait, func() {
		k.do(func() {
			if k.epoch == epoch {
				what()
			}
		})
	}))
}

func (k *Kubelet) cancel() {
	k.epoch++
	for _, stop := range k.timers {
		stop()
	}
	k.timers = slices.Delete(k.timers, 0, len(k.timers))
}

// pump sends the next request; one at a time is under way.
func (k *Kubelet) pump() {
	k.mutex.Lock()
	request, done := k.next()
	if done == nil {
		k.mutex.Unlock()
		return
	}
	k.inFlight = true
	slow, pod, connections := k.script.Slow(), k.pod, k.connections
	k.mutex.Unlock()
	answered := func(code int) { k.answered(pod, request, code, connections, done) }
	send := func() {
		if !k.outside.Request(request, answered) {
			answered(noConnection)
		}
	}
	if slow > 0 {
		k.clock.After(slow, send)
	} else {
		send()
	}
}

// next is what is to be asked for now, and what follows when it is done. The
// mutex is held.
func (k *Kubelet) next() (Request, func()) {
	switch {
	case k.stopped || k.inFlight || k.pod == nil || k.gone:
		return Request{}, nil
	case k.told < k.version:
		version := k.version
		return statusPatch(k.pod, k.state), func() { k.told = version }
	case len(k.events) > 0:
		return k.events[0], func() { k.events = k.events[1:] }
	case k.terminating && k.state.stage == ended:
		return finalDelete(k.pod), func() { k.gone = true }
	}
	return Request{}, nil
}

// answered goes on after an answer. What is refused is not asked for again: a
// kubelet would, but only load would come of it.
func (k *Kubelet) answered(pod *Pod, request Request, code, connections int, done func()) {
	k.mutex.Lock()
	k.inFlight = false
	next := k.pump
	switch {
	case k.pod == nil || k.pod.Metadata.UID != pod.Metadata.UID:
	case code >= 200 && code < 300:
		done()
	case code == http.StatusNotFound:
		k.gone = true
	case code == noConnection && k.connections == connections:
		next = func() {} // Connected will be called
	case code == noConnection:
	case code == http.StatusConflict || code == http.StatusTooManyRequests || code >= 500:
		next = func() { k.clock.After(again, k.pump) }
	default:
		k.log.Warn("a simulated kubelet is refused", "verb", request.Verb, "pod", request.Name, "code", code)
		done()
	}
	k.mutex.Unlock()
	next()
}
