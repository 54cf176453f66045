package qemu

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"vch.dev/e2e/simulator/guest"
)

// forked clones a frozen parent, without an identity, and lets it freeze again.
func forked(t *testing.T, b *Backend, folder string, parent *Guest, number int) *Guest {
	t.Helper()
	h := newHost(t, map[string]string{
		"guestinfo.vch.parent": fmt.Sprintf(
			`{"parentId":"%032x","node":"vch-0","freeze":true,"time":%d,"seed":"AAAA"}`, number, time.Now().Unix()),
	})
	asked := time.Now()
	started, err := b.InstantClone(context.Background(), parent, vm(t, folder, number), h)
	if err != nil {
		t.Fatal(err)
	}
	h.waitFrozen()
	stats, err := started.Stats()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("fork %d: frozen %.1f s after it was asked for; %d MiB of RAM of its own, of which %d MiB differ from its base",
		number, time.Since(asked).Seconds(), stats.PrivateBytes>>20, stats.ChangedBytes>>20)
	if stats.State != guest.Frozen || stats.ChangedBytes == 0 || stats.ChangedBytes > stats.RAMBytes/8 {
		t.Errorf("%s, %d of %d bytes changed", stats.State, stats.ChangedBytes, stats.RAMBytes)
	}
	return started.(*Guest)
}

func TestAForkIsAParentAgainAndSoIsItsFork(t *testing.T) {
	before := patchShare
	t.Cleanup(func() { patchShare = before })
	patchShare = 4 // what a fork changes is about a sixteenth
	b, folder := newBackend(t)
	base := frozenParent(t, b, folder)
	content := digest(t, base.frozen.memory)
	fork := forked(t, b, folder, base, 2)
	forkOfFork := forked(t, b, folder, fork, 3)
	for _, f := range []*Guest{fork, forkOfFork} {
		if stats, _ := f.Stats(); stats.PrivateBytes != stats.ChangedBytes {
			t.Errorf("%s holds %d bytes, of which %d are not as its base's", f.id, stats.PrivateBytes, stats.ChangedBytes)
		}
	}
	if digest(t, base.frozen.memory) != content {
		t.Error("the base's RAM has changed")
	}
	if _, err := fork.frozen.memory.WriteAt([]byte{1}, 0); err == nil {
		t.Error("the fork's frozen RAM can be written to")
	}
	for number, parent := range map[int]*Guest{10: base, 11: fork, 12: forkOfFork} {
		asked := time.Now()
		started, h := clone(t, b, folder, parent, number)
		if started == nil {
			t.FailNow()
		}
		running := time.Since(asked)
		h.waitReport()
		stats, _ := started.Stats()
		t.Logf("clone %d of %s: runs %.2f s, reports %.2f s after it was asked for; %d MiB of RAM copied",
			number, parent.id, running.Seconds(), time.Since(asked).Seconds(), stats.PrivateBytes>>20)
		if stats.PrivateBytes == 0 || stats.PrivateBytes > stats.RAMBytes/4 {
			t.Errorf("clone %d has %d of %d bytes of RAM to itself", number, stats.PrivateBytes, stats.RAMBytes)
		}
	}

	// A fork needs its base's disk, not its base.
	if err := base.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(base.dir); err != nil {
		t.Fatal(err)
	}
	started, h := clone(t, b, folder, fork, 13)
	if started == nil {
		t.FailNow()
	}
	h.waitReport()
	if err := fork.Reset(context.Background()); err != nil {
		t.Fatal(err)
	}
	fork.host.(*host).waitFrozen() // it boots, and freezes once more
	if stats, _ := fork.Stats(); stats.ChangedBytes != 0 {
		t.Error("a fork that was booted shares nothing: all of it is its own")
	}
}

func TestAForkThatChangedMuchHasMemoryOfItsOwn(t *testing.T) {
	before := patchShare
	t.Cleanup(func() { patchShare = before })
	patchShare = 1 << 20 // nothing is little
	b, folder := newBackend(t)
	base := frozenParent(t, b, folder)
	fork := forked(t, b, folder, base, 2)
	if stats, _ := fork.Stats(); stats.PrivateBytes <= stats.ChangedBytes || len(fork.frozen.patch.runs) != 0 {
		t.Errorf("it holds %d bytes, and changed %d", stats.PrivateBytes, stats.ChangedBytes)
	}
	if _, err := fork.frozen.memory.WriteAt([]byte{1}, 0); err == nil {
		t.Error("its frozen RAM can be written to")
	}
	forkOfFork := forked(t, b, folder, fork, 3)
	for number, parent := range map[int]*Guest{10: fork, 11: forkOfFork} {
		started, h := clone(t, b, folder, parent, number)
		if started == nil {
			t.FailNow()
		}
		h.waitReport()
		stats, _ := started.Stats()
		t.Logf("clone %d of %s: %d MiB of RAM copied", number, parent.id, stats.PrivateBytes>>20)
	}
}
