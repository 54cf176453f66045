// Package kubelet only pretends to run a Pod: it reports what a kubelet would
// of containers that a Script starts and ends, and answers of its API what is
// asked of thousands (health, logs, metrics). There is no container, no image,
// no volume, no probe.
//
// Neighbours: package simulated has its connections, package agent its
// identity.
package kubelet

import "time"

// Pod is what of a fed Pod is looked at.
type Pod struct {
	Metadata struct {
		Namespace                  string            `json:"namespace"`
		Name                       string            `json:"name"`
		UID                        string            `json:"uid"`
		Generation                 int64             `json:"generation"`
		Annotations                map[string]string `json:"annotations"`
		DeletionTimestamp          *time.Time        `json:"deletionTimestamp"`
		DeletionGracePeriodSeconds *int64            `json:"deletionGracePeriodSeconds"`
	} `json:"metadata"`
	Spec struct {
		NodeName       string      `json:"nodeName"`
		RestartPolicy  string      `json:"restartPolicy"`
		InitContainers []Container `json:"initContainers"`
		Containers     []Container `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase             string     `json:"phase"`
		StartTime         *time.Time `json:"startTime"`
		ContainerStatuses []struct {
			RestartCount int    `json:"restartCount"`
			ContainerID  string `json:"containerID"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

// Container of a Pod. One among the init containers whose RestartPolicy is
// Always runs beside the others.
type Container struct {
	Name          string `json:"name"`
	Image         string `json:"image"`
	RestartPolicy string `json:"restartPolicy"`
}

func (c Container) sidecar() bool { return c.RestartPolicy == "Always" }

func (p *Pod) terminal() bool { return p.Status.Phase == succeeded || p.Status.Phase == failed }

// restarts is how often its containers were started before this kubelet was: a
// guest that boots runs them once more.
func (p *Pod) restarts() int {
	most := 0
	for _, status := range p.Status.ContainerStatuses {
		if status.ContainerID != "" {
			most = max(most, status.RestartCount+1)
		}
	}
	return most
}
