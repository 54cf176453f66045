package qemu

import (
	"context"
	"os"
	"testing"
	"time"

	"vch.dev/e2e/simulator/guest"
)

// forked clones a frozen parent, without an identity, and lets it freeze again.
func forked(t *testing.T, b *Backend, folder string, parent *Guest, number int) *Guest {
	t.Helper()
	h := newHost(t, map[string]string{
		"guestinfo.vch.parent": `{"parentId":"00000000000000000000000000000002","node":"vch-0","freeze":true}`,
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
	if stats.State != guest.Frozen || stats.ChangedBytes == 0 || stats.ChangedBytes > stats.PrivateBytes/2 {
		t.Errorf("%s, %d of %d bytes changed", stats.State, stats.ChangedBytes, stats.PrivateBytes)
	}
	return started.(*Guest)
}

func TestAForkIsAParentAgainAndSoIsItsFork(t *testing.T) {
	b, folder := newBackend(t)
	base := frozenParent(t, b, folder)
	before := digest(t, base.frozen.memory)
	fork := forked(t, b, folder, base, 2)
	forkOfFork := forked(t, b, folder, fork, 3)
	if digest(t, base.frozen.memory) != before {
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
