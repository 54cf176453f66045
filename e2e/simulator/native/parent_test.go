package native

import (
	"encoding/json"
	"strings"
	"testing"

	"vch.dev/e2e/simulator/guest"
)

func TestAForkIsAParentAgain(t *testing.T) {
	b := makeBackend(t)
	freeze := func(id, parentID string, start func(vm guest.VM, host guest.Host) (guest.Guest, error)) guest.Guest {
		host := newFakeHost(map[string]string{parentKey: `{"parentId": "` + parentID + `", "node": "vch", "freeze": true}`})
		made, err := start(guest.VM{ID: id, Dir: t.TempDir(), MemoryMB: 512}, host)
		if err != nil {
			t.Fatal(err)
		}
		text := receive(t, host.reports, "report")
		receive(t, host.frozen, "freeze")
		var said struct {
			ParentID, Phase string
			Guest           struct {
				OSImage, KernelVersion string
				SharesMemory           bool
			}
		}
		if err := json.Unmarshal([]byte(text), &said); err != nil || said.ParentID != parentID || said.Phase != "Warm" ||
			said.Guest.OSImage == "" || said.Guest.KernelVersion == "" || said.Guest.SharesMemory {
			t.Errorf("it reports %s", text)
		}
		if !strings.Contains(text, `"images":[]`) {
			t.Errorf("images are no list: %s", text)
		}
		return made
	}
	cloneOf := func(source guest.Guest) func(guest.VM, guest.Host) (guest.Guest, error) {
		return func(vm guest.VM, host guest.Host) (guest.Guest, error) {
			return b.InstantClone(t.Context(), source, vm, host)
		}
	}
	base := freeze("vm-1", "one", func(vm guest.VM, host guest.Host) (guest.Guest, error) {
		return b.PowerOn(t.Context(), vm, host)
	})
	fork := freeze("vm-2", "two", cloneOf(base))
	freeze("vm-3", "three", cloneOf(fork))
	if err := base.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	freeze("vm-4", "four", cloneOf(fork))
}

func TestWhatIsAForkAndWhatAClone(t *testing.T) {
	for what, check := range map[string]struct {
		info map[string]string
		fork bool
	}{
		"another parent":         {map[string]string{parentKey: `{"parentId": "two"}`}, true},
		"the same parent":        {map[string]string{parentKey: `{"parentId": "one"}`}, false},
		"an identity":            {map[string]string{parentKey: `{"parentId": "two"}`, identityKey: `{}`}, false},
		"a parent of no ID":      {map[string]string{parentKey: `{"freeze": true}`}, false},
		"nothing":                {map[string]string{}, false},
		"what is not understood": {map[string]string{parentKey: `{`}, false},
		"an identity taken away": {map[string]string{parentKey: `{"parentId": "two"}`, identityKey: ``}, true},
	} {
		if isFork("one", newFakeHost(check.info)) != check.fork {
			t.Errorf("%s: is a fork: %v", what, !check.fork)
		}
	}
}

func TestVersionsAreReadFromWhatProgramsSay(t *testing.T) {
	if got := lastWord("Kubernetes v1.37.2"); got != "v1.37.2" {
		t.Error(got)
	}
	if got := field("containerd github.com/containerd/containerd 1.6.20~ds1", 2); got != "1.6.20~ds1" {
		t.Error(got)
	}
	if lastWord("") != "" || field("", 2) != "" || says("/nonexistent") != "" {
		t.Error("nothing was made something")
	}
}
