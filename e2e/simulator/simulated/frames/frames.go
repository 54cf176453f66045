// Package frames reads and writes the frames of vch-feed/1: a length of four
// bytes, big endian, and as many bytes of JSON. It is guest/vch_agent/frames.py
// in Go; what frames say is package simulated's business.
package frames

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// ALPN is the protocol's name in TLS.
const ALPN = "vch-feed/1"

// Limit is how long a frame may be; a longer one ends the connection.
const Limit = 8 << 20

const lengthSize = 4

// Read returns the body of the next frame; io.EOF at the end of the stream.
func Read(r io.Reader) ([]byte, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > Limit {
		return nil, fmt.Errorf("a frame of %d bytes is over %d", length, Limit)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}

// Write sends a message, in one piece.
func Write(w io.Writer, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(body) > Limit {
		return fmt.Errorf("a frame of %d bytes is over %d", len(body), Limit)
	}
	frame := make([]byte, lengthSize, lengthSize+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}
