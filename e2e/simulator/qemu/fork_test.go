package qemu

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
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

func TestAPatchIsDividedAmongMappings(t *testing.T) {
	all := patch{[]run{{0x1000, []byte("abcd")}, {0x2000, []byte("efgh")}}}
	part := all.within(mapping{start: 0x7000, end: 0x8002, offset: 0x1002})
	if len(part.runs) != 2 || part.runs[0].offset != 0x1002 || string(part.runs[0].content) != "cd" ||
		string(part.runs[1].content) != "efgh" || part.runs[1].offset != 0x2000 {
		t.Errorf("got %+v", part)
	}
	if rest := all.within(mapping{start: 0, end: 0x1000, offset: 0x3000}); rest.size() != 0 || all.size() != 8 {
		t.Errorf("%d of %d bytes", rest.size(), all.size())
	}
	memory, err := newMemory(1)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if err := part.write(memory, -0x1000); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2)
	if _, err := memory.ReadAt(got, 2); err != nil || string(got) != "cd" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhatAProcessChangedOfAPrivateMappingIsFound(t *testing.T) {
	memory, err := newMemory(1)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	mapped, err := unix.Mmap(int(memory.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mapped) }()
	mapped[5*pageSize], mapped[6*pageSize+1], mapped[200*pageSize] = 1, 2, 3
	_ = mapped[100*pageSize] // read only
	found, err := readPatch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.runs) != 2 || found.size() != 3*pageSize || found.runs[0].offset != 5*pageSize ||
		found.runs[0].content[pageSize+1] != 2 || found.runs[1].offset != 200*pageSize {
		t.Errorf("%d runs, %d bytes", len(found.runs), found.size())
	}
	copied := patch{[]run{{300, []byte{9}}}}
	if err := copied.apply(os.Getpid()); err != nil || mapped[300] != 9 {
		t.Errorf("%v, %d", err, mapped[300])
	}
	content := make([]byte, 1)
	if _, err := memory.ReadAt(content, 300); err != nil || content[0] != 0 {
		t.Errorf("the file was written to: %v, %v", content, err)
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
