// Package simulator is govmomi's; this file bounds the number of sessions, and
// ends them.
package simulator

import (
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Login refuses when too many are logged in.
func (s *SessionManager) Login(ctx *Context, req *types.Login) soap.HasFault {
	sessionMutex.Lock()
	sessions := len(s.sessions)
	sessionMutex.Unlock()
	if sessions >= CurrentModes().Sessions {
		return &methods.LoginBody{Fault_: Fault("too many sessions", new(types.InvalidLogin))}
	}
	return s.upstreamLogin(ctx, req)
}

// EndSessions ends those of a user, or all, as an administrator would: their
// next call gets NotAuthenticated. It tells how many there were.
func EndSessions(ctx *Context, user string) int {
	manager := ctx.Map.SessionManager()
	sessionMutex.Lock()
	defer sessionMutex.Unlock()
	ended := 0
	for key, session := range manager.sessions {
		if user == "" || session.UserName == user {
			delete(manager.sessions, key)
			ended++
		}
	}
	return ended
}

// EntityName is the name of any kind of entity.
func EntityName(entity mo.Entity) string { return entityName(entity) }
