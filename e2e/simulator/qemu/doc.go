// Package qemu is the guest backend whose guests are real virtual machines.
//
// A guest that asks to be frozen is stopped; its devices' state is kept in the
// simulator's memory, its RAM in a sealed memory file, its disk in a read-only
// layer: a snapshot. A clone is a QEMU process of its own that maps the same
// memory file privately and writes to a disk layer of its own, so that memory
// and disk are shared until written, as by vSphere's instant clone.
//
// Nothing needs to be cleaned up after a crash but files below the state
// folder: memory files and taps end with the processes that hold them, and
// QEMU processes with the simulator.
package qemu
