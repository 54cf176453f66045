package qemu

import (
	"bytes"
	"slices"
	"testing"
)

func TestMappingsOfRAMAreFound(t *testing.T) {
	text := "55d0-55d1 r-xp 00000000 08:01 7                  /usr/bin/qemu\n" +
		"7f0000-7f3000 rw-p 00000000 00:01 42             /memfd:vch-guest-ram (deleted)\n" +
		"7f3000-7f4000 rw-p 00003000 00:01 42             /memfd:vch-guest-ram (deleted)\n" +
		"7ff0-7ff1 rw-p 00000000 00:00 0\n"
	if got := parseMappings(text); !slices.Equal(got, []mapping{{0x7f0000, 0x7f3000, 0}, {0x7f3000, 0x7f4000, 0x3000}}) {
		t.Errorf("got %x", got)
	}
}

func TestPagesThatWereWrittenToAreTold(t *testing.T) {
	for entry, changed := range map[uint64]bool{
		0: false, pagePresent: true, pagePresent | pageOfFile: false, pageSwapped: true,
	} {
		if isChanged(entry) != changed {
			t.Errorf("%x: changed is %v", entry, !changed)
		}
	}
}

func TestMemoryIsCopiedSparsely(t *testing.T) {
	from, err := newMemory(64)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := newMemory(64)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for _, at := range []int64{0, 5 << 20, 64<<20 - pageSize} {
		if _, err := from.WriteAt(bytes.Repeat([]byte{7}, pageSize), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := from.WriteAt(make([]byte, 3*pageSize), 10<<20); err != nil { // there, and nothing in it
		t.Fatal(err)
	}
	if err := copyData(from, to); err != nil {
		t.Fatal(err)
	}
	if got := held(to); got != 3*pageSize {
		t.Errorf("%d bytes are held", got)
	}
	if digest(t, from) != digest(t, to) {
		t.Error("the copy differs")
	}
}
