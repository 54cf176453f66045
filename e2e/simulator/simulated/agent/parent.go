package agent

import (
	"encoding/json"
	"fmt"
)

// Parent is what a parent is told, as far as a simulated one does something
// about it: the rest of its setup changes nothing that it has.
type Parent struct {
	ParentID string `json:"parentId"`
	Node     string `json:"node"`
	Freeze   bool   `json:"freeze"`
	Setup    struct {
		PreloadImages []string `json:"preloadImages"`
	} `json:"setup"`
}

// ParseParent reads the value of ParentKey; of an empty one it is empty.
func ParseParent(value string) (Parent, error) {
	var told Parent
	if value == "" {
		return told, nil
	}
	if err := json.Unmarshal([]byte(value), &told); err != nil {
		return told, fmt.Errorf("parent: %w", err)
	}
	return told, nil
}

// Phases that a parent reports.
const (
	Warm   = "Warm"
	Failed = "Failed"
)

type image struct {
	Names     []string `json:"names"`
	SizeBytes int64    `json:"sizeBytes"`
}

// imageSize is what each preloaded image is said to have.
const imageSize = 1 << 20

// ReportParent is the value of ReportKey of a parent.
func ReportParent(told Parent, phase, message string) string {
	images := []image{}
	for _, name := range told.Setup.PreloadImages {
		images = append(images, image{Names: []string{name}, SizeBytes: imageSize})
	}
	facts := map[string]any{
		"osImage": "simulated guest", "kernelVersion": "simulated", "kubeletVersion": KubeletVersion,
		"containerRuntimeVersion": "simulated://0.1.0", "agentVersion": Version,
		"images": images, "sharesMemory": true,
	}
	return encoded(map[string]any{"parentId": told.ParentID, "phase": phase, "message": message, "guest": facts})
}

// KubeletVersion is of the kubelet that is pretended.
const KubeletVersion = "v1.37.2-simulated"
