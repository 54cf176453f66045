package native

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vch.dev/e2e/simulator/guest"
)

const reportKey = "guestinfo.vch.report"

// told is what guestinfo.vch.parent says, as far as it concerns a parent in
// which nothing runs.
type told struct {
	ID     string `json:"parentId"`
	Freeze bool   `json:"freeze"`
}

func readParent(host guest.Host) (parent told) {
	value, _ := host.InfoGet(parentKey)
	if json.Unmarshal([]byte(value), &parent) != nil {
		return told{}
	}
	return parent
}

// isFork tells at a clone whether it is to become a parent itself: it is given
// another parent's ID and no identity.
func isFork(source string, host guest.Host) bool {
	identity, _ := host.InfoGet(identityKey)
	parent := readParent(host)
	return identity == "" && parent.ID != "" && parent.ID != source
}

// report is what the agent of a parent says before it freezes. A native parent
// has no agent: its clones' programs are started when they are cloned.
type report struct {
	ParentID string `json:"parentId"`
	Phase    string `json:"phase"`
	Message  string `json:"message"`
	Guest    facts  `json:"guest"`
}

type facts struct {
	OSImage          string     `json:"osImage"`
	KernelVersion    string     `json:"kernelVersion"`
	KubeletVersion   string     `json:"kubeletVersion"`
	ContainerRuntime string     `json:"containerRuntimeVersion"`
	AgentVersion     string     `json:"agentVersion"`
	Images           []struct{} `json:"images"` // what is imported is not known here
	SharesMemory     bool       `json:"sharesMemory"`
}

// warm reports a parent, if it has an ID to do it by.
func (b *Backend) warm(host guest.Host, parent told) error {
	if parent.ID == "" {
		return nil
	}
	text, err := json.Marshal(report{ParentID: parent.ID, Phase: "Warm", Guest: b.facts()})
	if err != nil {
		return err
	}
	return host.InfoSet(reportKey, string(text))
}

// findFacts asks the machine and the image's programs, once.
func findFacts(image string) func() facts {
	return sync.OnceValue(func() facts {
		return facts{
			OSImage:          osImage("/etc/os-release"),
			KernelVersion:    kernelVersion(),
			KubeletVersion:   lastWord(says(filepath.Join(image, imageKubelet), "--version")),
			ContainerRuntime: "containerd://" + field(says("containerd", "--version"), 2),
			AgentVersion:     "native",
			Images:           []struct{}{},
		}
	})
}

func osImage(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return "Linux"
}

func kernelVersion() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// says is what a program answers; empty if it does not.
func says(program string, arguments ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, program, arguments...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(output))
}

func lastWord(text string) string { return text[strings.LastIndexByte(text, ' ')+1:] }

// field is a word of "containerd github.com/containerd/containerd 1.6.20 ...".
func field(text string, number int) string {
	if words := strings.Fields(text); number < len(words) {
		return words[number]
	}
	return ""
}
