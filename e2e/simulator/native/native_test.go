package native

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vch.dev/e2e/simulator/guest"
)

func TestAnImageThatLacksAFileIsRefusedByItsName(t *testing.T) {
	_, err := New(Config{Image: t.TempDir(), Log: slog.Default()})
	if err == nil || !strings.Contains(err.Error(), imageKubelet) {
		t.Fatalf("got %v", err)
	}
}

func makeBackend(t *testing.T) *Backend {
	t.Helper()
	image := t.TempDir()
	for _, name := range []string{imageKubelet, imageProxy, imageRPCTool, imageAgent, imageContainerd, imageStore} {
		if err := os.WriteFile(filepath.Join(image, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := New(Config{Image: image, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestAParentFreezesWhenItIsToldToAndNotBefore(t *testing.T) {
	b := makeBackend(t)
	host := newFakeHost(map[string]string{})
	parent, err := b.PowerOn(t.Context(), guest.VM{ID: "vm-1", Dir: t.TempDir()}, host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.InstantClone(t.Context(), parent, guest.VM{ID: "vm-2"}, host); err != guest.ErrNotFrozen {
		t.Fatalf("a parent that is not frozen was cloned: %v", err)
	}
	_ = host.InfoSet(parentKey, `{"node": "vch", "freeze": true}`)
	select {
	case <-host.frozen:
	case <-time.After(30 * time.Second):
		t.Fatal("it did not freeze")
	}
	stats, _ := parent.Stats()
	if stats.State != guest.Frozen || stats.Timings["frozen"].IsZero() {
		t.Fatalf("got %+v", stats)
	}
	if err := parent.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.InstantClone(t.Context(), parent, guest.VM{ID: "vm-3"}, host); err != guest.ErrNotFrozen {
		t.Fatalf("a parent that is off was cloned: %v", err)
	}
}

func TestTheKubeletMayStartWhenTheAgentSaysSo(t *testing.T) {
	for message, expected := range map[string]bool{
		"READY=1": true, "READY=1\nSTATUS=serving": true, "STATUS=READY=1": false, "READY=10": false, "": false,
	} {
		if saysReady(message) != expected {
			t.Errorf("%q: got %v", message, !expected)
		}
	}
}

func TestTheKubeletsArgumentsAreReadAsSystemdReadsThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubelet.env")
	if err := os.WriteFile(file, []byte("KUBELET_ARGS=\"--config=/a  --node-ip=1.2.3.4\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := readArguments(file)
	if err != nil || !slices.Equal(found, []string{"--config=/a", "--node-ip=1.2.3.4"}) {
		t.Fatalf("got %q, %v", found, err)
	}
}

func TestMemoryIsReadInBytes(t *testing.T) {
	found := parseRollup([]byte("55d0-7ffc ---p 00000000 00:00 0 [rollup]\nPss:  10 kB\nPrivate_Dirty:   3 kB\n"))
	if found["Pss"] != 10<<10 || found["Private_Dirty"] != 3<<10 {
		t.Fatalf("got %v", found)
	}
}
