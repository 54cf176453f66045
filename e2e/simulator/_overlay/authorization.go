package simulator

import (
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Granted says whether the user of a session has a privilege on an object;
// nil: everybody has all.
var Granted func(ctx *Context, on types.ManagedObjectReference, privilege string) bool

// HasPrivilegeOnEntities answers for the caller's own session, whichever is
// named.
func (m *AuthorizationManager) HasPrivilegeOnEntities(ctx *Context, req *types.HasPrivilegeOnEntities) soap.HasFault {
	answer := make([]types.EntityPrivilege, 0, len(req.Entity))
	for _, entity := range req.Entity {
		found := types.EntityPrivilege{Entity: entity}
		for _, id := range req.PrivId {
			found.PrivAvailability = append(found.PrivAvailability, types.PrivilegeAvailability{
				PrivId: id, IsGranted: Granted == nil || Granted(ctx, entity, id),
			})
		}
		answer = append(answer, found)
	}
	return &methods.HasPrivilegeOnEntitiesBody{
		Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: answer},
	}
}
