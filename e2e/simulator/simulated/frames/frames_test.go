package frames

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	var stream bytes.Buffer
	for _, name := range []string{"ping", "pong"} {
		if err := Write(&stream, map[string]string{"type": name}); err != nil {
			t.Fatal(err)
		}
	}
	if got := stream.Bytes()[:lengthSize]; !bytes.Equal(got, []byte{0, 0, 0, 15}) {
		t.Errorf("the length is written as %v", got)
	}
	for _, want := range []string{`{"type":"ping"}`, `{"type":"pong"}`} {
		if got, err := Read(&stream); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := Read(&stream); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

func TestAFrameOverTheLimitIsNotRead(t *testing.T) {
	if _, err := Read(bytes.NewReader([]byte{0xff, 0, 0, 0})); err == nil {
		t.Error("it was")
	}
}
