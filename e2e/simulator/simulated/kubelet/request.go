package kubelet

import (
	"fmt"
	"time"
)

// Request is what a guest asks the cluster for, through the provider.
type Request struct {
	Verb        string
	Namespace   string
	Name        string
	ContentType string
	Body        any
}

const (
	strategicMerge = "application/strategic-merge-patch+json"
	plain          = "application/json"
)

func statusPatch(pod *Pod, s state) Request {
	return about(pod, "patchStatus", strategicMerge, s.patch(pod))
}

func finalDelete(pod *Pod) Request {
	return about(pod, "deletePod", plain, object{
		"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
		"preconditions": object{"uid": pod.Metadata.UID},
	})
}

func startedEvent(pod *Pod, container Container, at time.Time, number int) Request {
	name := fmt.Sprintf("%s.%x", pod.Metadata.Name, at.UnixNano()+int64(number))
	return about(pod, "createEvent", plain, object{
		"apiVersion": "v1", "kind": "Event",
		"metadata": object{"name": name, "namespace": pod.Metadata.Namespace},
		"involvedObject": object{
			"apiVersion": "v1", "kind": "Pod", "namespace": pod.Metadata.Namespace, "name": pod.Metadata.Name,
			"uid": pod.Metadata.UID, "fieldPath": "spec.containers{" + container.Name + "}",
		},
		"type": "Normal", "reason": "Started", "message": "Container started (it only pretends)",
		"count": 1, "firstTimestamp": instant(at), "lastTimestamp": instant(at),
	})
}

func about(pod *Pod, verb, contentType string, body any) Request {
	return Request{
		Verb: verb, Namespace: pod.Metadata.Namespace, Name: pod.Metadata.Name, ContentType: contentType, Body: body,
	}
}
