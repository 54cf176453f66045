package kubelet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What containers are said to take: a thousandth of a processor while they
// run, and 1 MiB.
const (
	usedCores  = 0.001
	usedMemory = 1 << 20
)

// ServeHTTP answers what is asked of a kubelet's API by the thousand. What would
// need a container (exec, attach, port-forward) is not implemented.
func (k *Kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mutex.Lock()
	slow, pod, now := k.script.Slow(), k.pod, k.state
	k.mutex.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case path[0] == "healthz":
		fmt.Fprint(w, "ok")
	case path[0] == "containerLogs" && len(path) == 4:
		k.logs(w, r, path[1:])
	case r.URL.Path == "/metrics/resource":
		fmt.Fprint(w, resources(pod, now, k.clock.Now()))
	case r.URL.Path == "/stats/summary":
		_ = json.NewEncoder(w).Encode(summary(pod, now, k.clock.Now()))
	case r.URL.Path == "/metrics" || r.URL.Path == "/metrics/cadvisor" || r.URL.Path == "/metrics/probes":
		w.WriteHeader(http.StatusOK) // there is nothing of it
	case r.URL.Path == "/pods" || r.URL.Path == "/runningpods/":
		items := []*Pod{}
		if pod != nil {
			items = append(items, pod)
		}
		_ = json.NewEncoder(w).Encode(object{"kind": "PodList", "apiVersion": "v1", "items": items})
	case path[0] == "exec" || path[0] == "attach" || path[0] == "portForward":
		http.Error(w, "a simulated guest has no containers, it only pretends", http.StatusNotImplemented)
	default:
		http.NotFound(w, r)
	}
}

// logs are a line for each start and end of the containers.
func (k *Kubelet) logs(w http.ResponseWriter, r *http.Request, of []string) {
	written := 0
	for {
		k.mutex.Lock()
		pod, now, stopped := k.pod, k.state, k.stopped
		if k.changed == nil {
			k.changed = make(chan struct{})
		}
		changed := k.changed
		k.mutex.Unlock()
		if pod == nil || pod.Metadata.Namespace != of[0] || pod.Metadata.Name != of[1] || !pod.has(of[2]) {
			if written == 0 {
				http.Error(w, "there is no such container", http.StatusNotFound)
			}
			return
		}
		if now.stage == creating {
			http.Error(w, fmt.Sprintf("container %q is waiting to start: ContainerCreating", of[2]), http.StatusBadRequest)
			return
		}
		lines := now.lines(of[2])
		for _, line := range lines[min(written, len(lines)):] {
			fmt.Fprintln(w, line)
		}
		written = len(lines)
		if r.URL.Query().Get("follow") != "true" || now.stage == ended || stopped {
			return
		}
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s state) lines(container string) []string {
	lines := []string{fmt.Sprintf("simulated container %s started at %s", container, instant(s.started))}
	if s.stage == ended || s.stage == backingOff {
		lines = append(lines, fmt.Sprintf("simulated container %s ended with %d", container, s.exitCode))
	}
	return lines
}

func (p *Pod) has(container string) bool {
	for _, containers := range [][]Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, each := range containers {
			if each.Name == container {
				return true
			}
		}
	}
	return false
}

// ran is how many seconds the containers have run since their last start.
func (s state) ran(now time.Time) float64 {
	switch s.stage {
	case creating:
		return 0
	case up:
		return now.Sub(s.started).Seconds()
	}
	return s.finished.Sub(s.started).Seconds()
}

// resources is /metrics/resource.
func resources(pod *Pod, s state, now time.Time) string {
	var text strings.Builder
	family := func(name, kind string) { fmt.Fprintf(&text, "# TYPE %s %s\n", name, kind) }
	containers := []Container{}
	if pod != nil && s.stage == up {
		containers = pod.Spec.Containers
	}
	cpu, memory := s.ran(now)*usedCores, usedMemory
	each := func(name, kind string, value float64) {
		family(name, kind)
		for _, container := range containers {
			fmt.Fprintf(&text, "%s{container=%q,namespace=%q,pod=%q} %g\n",
				name, container.Name, pod.Metadata.Namespace, pod.Metadata.Name, value)
		}
	}
	of := func(name, kind string, value float64) {
		family(name, kind)
		if pod != nil {
			fmt.Fprintf(&text, "%s{namespace=%q,pod=%q} %g\n", name, pod.Metadata.Namespace, pod.Metadata.Name, value)
		}
	}
	all := float64(len(containers))
	each("container_cpu_usage_seconds_total", "counter", cpu)
	each("container_memory_working_set_bytes", "gauge", float64(memory))
	each("container_start_time_seconds", "gauge", float64(s.started.UnixMilli())/1000)
	of("pod_cpu_usage_seconds_total", "counter", all*cpu)
	of("pod_memory_working_set_bytes", "gauge", all*float64(memory))
	family("node_cpu_usage_seconds_total", "counter")
	fmt.Fprintf(&text, "node_cpu_usage_seconds_total %g\n", all*cpu)
	family("node_memory_working_set_bytes", "gauge")
	fmt.Fprintf(&text, "node_memory_working_set_bytes %g\n", all*float64(memory))
	family("resource_scrape_error", "gauge")
	fmt.Fprintln(&text, "resource_scrape_error 0")
	return text.String()
}

// summary is /stats/summary.
func summary(pod *Pod, s state, now time.Time) object {
	usage := func(containers int) (cpu, memory object) {
		cores, bytes := 0.0, 0
		if s.stage == up {
			cores, bytes = usedCores*float64(containers), usedMemory*containers
		}
		cpu = object{
			"time": instant(now), "usageNanoCores": int64(cores * 1e9),
			"usageCoreNanoSeconds": int64(s.ran(now) * usedCores * float64(containers) * 1e9),
		}
		return cpu, object{"time": instant(now), "usageBytes": bytes, "workingSetBytes": bytes, "rssBytes": bytes}
	}
	if pod == nil {
		cpu, memory := usage(0)
		return object{"node": object{"startTime": instant(now), "cpu": cpu, "memory": memory}, "pods": []object{}}
	}
	containers := []object{}
	for _, container := range pod.Spec.Containers {
		cpu, memory := usage(1)
		containers = append(containers, object{
			"name": container.Name, "startTime": instant(s.started), "cpu": cpu, "memory": memory,
		})
	}
	cpu, memory := usage(len(containers))
	reference := object{"name": pod.Metadata.Name, "namespace": pod.Metadata.Namespace, "uid": pod.Metadata.UID}
	return object{
		"node": object{"nodeName": pod.Spec.NodeName, "startTime": instant(s.began), "cpu": cpu, "memory": memory},
		"pods": []object{{
			"podRef": reference, "startTime": instant(s.began), "containers": containers, "cpu": cpu, "memory": memory,
		}},
	}
}
