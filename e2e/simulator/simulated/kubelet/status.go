package kubelet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Phases of Pods.
const (
	pending   = "Pending"
	running   = "Running"
	succeeded = "Succeeded"
	failed    = "Failed"
)

// stage is how far the Pod's containers are; they go together.
type stage int

const (
	creating stage = iota
	up
	backingOff
	ended // for good
)

// state is all that a status is made of, beside the Pod.
type state struct {
	stage    stage
	began    time.Time // when the kubelet saw the Pod
	started  time.Time // of the containers, the last time
	finished time.Time
	exitCode int
	restarts int
	reason   string // why the Pod failed, if not by its containers
	message  string
}

type object = map[string]any

// phase is the Pod's.
func (s state) phase() string {
	switch {
	case s.stage == creating:
		return pending
	case s.stage != ended:
		return running
	case s.exitCode == 0 && s.reason == "":
		return succeeded
	}
	return failed
}

// patch is the status as a kubelet's strategic merge patch says it. Addresses
// are the provider's to add.
func (s state) patch(pod *Pod) object {
	status := object{
		"phase":              s.phase(),
		"startTime":          instant(s.began),
		"conditions":         s.conditions(pod),
		"observedGeneration": pod.Metadata.Generation,
	}
	made := object{"metadata": object{"uid": pod.Metadata.UID}, "status": status}
	if s.reason != "" { // it was not let in: it has no containers
		status["reason"], status["message"] = s.reason, s.message
		return made
	}
	if len(pod.Spec.InitContainers) > 0 {
		statuses := []object{}
		for _, container := range pod.Spec.InitContainers {
			statuses = append(statuses, s.initContainer(pod, container))
		}
		status["initContainerStatuses"] = statuses
	}
	statuses := []object{}
	for _, container := range pod.Spec.Containers {
		statuses = append(statuses, s.container(pod, container))
	}
	status["containerStatuses"] = statuses
	return made
}

func (s state) conditions(pod *Pod) []object {
	ready, why, message := "True", "", ""
	switch {
	case s.phase() == succeeded:
		ready, why = "False", "PodCompleted"
	case s.phase() == failed:
		ready, why = "False", "PodFailed"
	case s.stage != up:
		ready, why, message = "False", "ContainersNotReady", "containers are not running"
	}
	since := s.since()
	sandbox := "True"
	if s.stage == creating || s.stage == ended {
		sandbox = "False"
	}
	initialized := ""
	if s.phase() == succeeded {
		initialized = "PodCompleted"
	}
	return []object{
		condition(pod, "PodReadyToStartContainers", sandbox, "", "", since),
		condition(pod, "Initialized", "True", initialized, "", s.began),
		condition(pod, "Ready", ready, why, message, since),
		condition(pod, "ContainersReady", ready, why, message, since),
	}
}

// since is when the stage began.
func (s state) since() time.Time {
	switch s.stage {
	case creating:
		return s.began
	case up:
		return s.started
	}
	return s.finished
}

func condition(pod *Pod, kind, status, reason, message string, since time.Time) object {
	made := object{
		"type": kind, "status": status, "lastProbeTime": nil, "lastTransitionTime": instant(since),
		"observedGeneration": pod.Metadata.Generation,
	}
	// A merge keeps what is left out: of the time before.
	made["reason"], made["message"] = nil, nil
	if reason != "" {
		made["reason"] = reason
	}
	if message != "" {
		made["message"] = message
	}
	return made
}

func (s state) initContainer(pod *Pod, container Container) object {
	if container.sidecar() || s.stage == creating {
		return s.container(pod, container)
	}
	// It has done its work before the others started.
	status := s.container(pod, container)
	status["ready"], status["started"], status["restartCount"] = true, false, 0
	status["lastState"] = object{}
	status["state"] = object{"terminated": terminated(status["containerID"], 0, s.began, s.began)}
	return status
}

func (s state) container(pod *Pod, container Container) object {
	status := object{
		"name": container.Name, "image": container.Image, "imageID": "", "ready": s.stage == up,
		"started": s.stage == up, "restartCount": s.restarts, "lastState": object{},
	}
	if s.stage == creating {
		status["state"] = object{"waiting": object{"reason": "ContainerCreating"}}
		return status
	}
	if s.started.IsZero() { // it never ran
		status["state"] = object{"terminated": object{
			"exitCode": killed, "reason": "ContainerStatusUnknown", "finishedAt": instant(s.finished), "startedAt": nil,
			"message": "the container was never started",
		}}
		return status
	}
	id := containerID(pod, container, s.restarts)
	status["containerID"], status["imageID"] = id, "simulated/"+container.Image
	end := terminated(id, s.exitCode, s.started, s.finished)
	switch s.stage {
	case up:
		status["state"] = object{"running": object{"startedAt": instant(s.started)}}
		if s.restarts > 0 && !s.finished.IsZero() {
			before := containerID(pod, container, s.restarts-1)
			status["lastState"] = object{"terminated": terminated(before, s.exitCode, s.finished, s.finished)}
		}
	case backingOff:
		status["state"] = object{"waiting": object{
			"reason": "CrashLoopBackOff", "message": "back-off restarting a container that only pretends",
		}}
		status["lastState"] = object{"terminated": end}
	default:
		status["state"] = object{"terminated": end}
	}
	return status
}

func terminated(id any, exitCode int, started, finished time.Time) object {
	reason := "Completed"
	if exitCode != 0 {
		reason = "Error"
	}
	return object{
		"exitCode": exitCode, "reason": reason, "containerID": id,
		"startedAt": instant(started), "finishedAt": instant(finished),
	}
}

// containerID is made up, and another one for each start.
func containerID(pod *Pod, container Container, restarts int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", pod.Metadata.UID, container.Name, restarts))
	return "simulated://" + hex.EncodeToString(sum[:])
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }
