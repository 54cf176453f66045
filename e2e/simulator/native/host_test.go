package native

import "sync"

// fakeHost is a VM to its guest: it holds guestinfo and passes on what the
// guest says.
type fakeHost struct {
	frozen  chan struct{}
	exited  chan error
	reports chan string

	mutex sync.Mutex
	info  map[string]string
}

func newFakeHost(info map[string]string) *fakeHost {
	return &fakeHost{
		frozen: make(chan struct{}, 10), exited: make(chan error, 10), reports: make(chan string, 10), info: info,
	}
}

func (h *fakeHost) InfoGet(key string) (string, bool) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	value, ok := h.info[key]
	return value, ok
}

func (h *fakeHost) InfoSet(key, value string) error {
	h.mutex.Lock()
	h.info[key] = value
	h.mutex.Unlock()
	if key == "guestinfo.vch.report" {
		h.reports <- value
	}
	return nil
}

func (h *fakeHost) Frozen() error    { h.frozen <- struct{}{}; return nil }
func (h *fakeHost) Exited(err error) { h.exited <- err }
