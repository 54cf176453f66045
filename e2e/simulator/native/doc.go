// Package native is the guest backend whose guests are processes in namespaces
// of this machine: containerd, agent and kubelet, as in a pod VM, without one.
//
// A guest has its own network, mount, process and host name namespaces. It sees
// the machine's files, and what it writes is its own. Its init (Init, the same
// program under another name) supervises the services as systemd does in a VM.
// A parent that is to be prepared (its message has a parentId) runs the same
// until it freezes. A frozen parent has no processes: a clone starts its own, at
// clone time, on a copy of what the parent has on disk. So it says nothing about
// thawing, sharing memory or isolation; the neighbour qemu does. It is for tests
// that want many guests soon.
package native
