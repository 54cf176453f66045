// Package simulator is govmomi's; this file bounds how many tasks vCenter runs at
// once. Those beyond stay "queued": no fault, only patience.
package simulator

import "sync"

type taskQueue struct {
	mutex   sync.Mutex
	changed *sync.Cond
	running int
}

var runningTasks = newTaskQueue()

func newTaskQueue() *taskQueue {
	q := &taskQueue{}
	q.changed = sync.NewCond(&q.mutex)
	return q
}

func (q *taskQueue) tryEnter() bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if q.running >= CurrentModes().Tasks {
		return false
	}
	q.running++
	return true
}

func (q *taskQueue) enter() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for q.running >= CurrentModes().Tasks {
		q.changed.Wait()
	}
	q.running++
}

func (q *taskQueue) leave() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.running--
	q.changed.Signal()
}

// wakeUp is called when the bound has changed.
func (q *taskQueue) wakeUp() { q.changed.Broadcast() }
