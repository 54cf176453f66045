package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"syscall"
	"time"
)

// retryEvery is how often a port without a host is looked at again. A port's
// hang-up cannot be waited for: poll(2) reports it at once, and for ever.
const retryEvery = 20 * time.Millisecond

// answer is a reply to one request.
type answer struct {
	ok    bool
	value string
}

// port is the way to the simulator.
type port struct {
	io.ReadWriteCloser
	// redial replaces a stream that has ended; nil where the stream outlives
	// its host (a virtio port).
	redial func() (io.ReadWriteCloser, error)
}

// ask sends a command and waits for the reply with its ID, as long as it takes:
// through a freeze the host that answers is not the one that was asked.
func (p *port) ask(id, command string) (answer, error) {
	line, err := json.Marshal(map[string]string{"id": id, "command": command})
	if err != nil {
		return answer{}, err
	}
	// The line starts with a line end: what a killed predecessor left half sent
	// must not swallow it.
	if err := p.send(append([]byte{'\n'}, append(line, '\n')...)); err != nil {
		return answer{}, err
	}
	var pending []byte
	buffer := make([]byte, 4096)
	for {
		n, err := p.Read(buffer)
		pending = append(pending, buffer[:n]...)
		for {
			line, rest, found := bytes.Cut(pending, []byte{'\n'})
			if !found {
				break
			}
			pending = rest
			if got, ok := parse(line, id); ok {
				return got, nil
			}
		}
		if n == 0 || err != nil {
			pending = nil
			if err := p.hostGone(err); err != nil {
				return answer{}, err
			}
		}
	}
}

func (p *port) send(line []byte) error {
	for len(line) > 0 {
		n, err := p.Write(line)
		line = line[n:]
		if err != nil {
			if err := p.hostGone(err); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostGone waits a moment for the host to come back. It returns an error where
// that cannot happen.
func (p *port) hostGone(err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.EAGAIN),
		errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNRESET):
	default:
		return err
	}
	time.Sleep(retryEvery)
	if p.redial == nil {
		return nil
	}
	stream, err := p.redial()
	if err != nil {
		return nil // not back yet
	}
	_ = p.Close()
	p.ReadWriteCloser = stream
	return nil
}

// parse reads a reply line; false for what is not the reply to id, such as the
// answer to a predecessor that was killed.
func parse(line []byte, id string) (answer, bool) {
	var reply struct {
		ID    string `json:"id"`
		OK    bool   `json:"ok"`
		Value string `json:"value"`
	}
	if err := json.Unmarshal(line, &reply); err != nil || reply.ID != id {
		return answer{}, false
	}
	return answer{reply.OK, reply.Value}, true
}

// requestID is unique among the requests that can meet: those of this guest.
// Random numbers would not do, clones may draw equal ones.
func requestID() string {
	return strconv.Itoa(syscall.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
}
