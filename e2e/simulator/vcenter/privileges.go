package vcenter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Privileges are enforced for users that have a role here; all others may do
// everything. The neighbour privilege_table.go says what a method needs.
type Privileges struct {
	ctx *simulator.Context

	mutex sync.Mutex
	roles map[string]role
}

// role is what a user may do on inventory objects and all that is below them.
type role map[types.ManagedObjectReference][]string

// Set gives a user a role in the place of all that it may do. Its keys are
// managed object IDs or inventory paths; "/" is the root.
func (p *Privileges) Set(user string, privileges map[string][]string) error {
	if user == "" {
		return errors.New("user: name one")
	}
	given := role{}
	for name, ids := range privileges {
		ref, err := p.entity(name)
		if err != nil {
			return err
		}
		given[ref] = append(given[ref], ids...)
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.roles == nil {
		p.roles = map[string]role{}
	}
	p.roles[user] = given
	return nil
}

// Clear ends enforcement.
func (p *Privileges) Clear() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.roles = nil
}

// Users lists those whose privileges are enforced.
func (p *Privileges) Users() []string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	users := slices.Sorted(maps.Keys(p.roles))
	if users == nil {
		users = []string{}
	}
	return users
}

// entity finds an object of the inventory by its ID or path.
func (p *Privileges) entity(name string) (types.ManagedObjectReference, error) {
	for _, entity := range p.ctx.Map.All("") {
		if ref := entity.Reference(); ref.Value == name || p.path(entity) == name {
			return ref, nil
		}
	}
	return types.ManagedObjectReference{}, fmt.Errorf("role: there is no object %q: name its ID or its inventory path", name)
}

// path is an inventory path as govc prints it.
func (p *Privileges) path(entity mo.Entity) string {
	path := ""
	for entity != nil {
		at := entity.Entity()
		if at.Parent == nil {
			break
		}
		path = "/" + simulator.EntityName(entity) + path
		entity, _ = p.ctx.Map.Get(*at.Parent).(mo.Entity)
	}
	if path == "" {
		return "/"
	}
	return path
}

// check is called for every call, before it is looked at.
func (p *Privileges) check(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session == nil {
		return nil, nil
	}
	p.mutex.Lock()
	given, enforced := p.roles[ctx.Session.UserName]
	p.mutex.Unlock()
	if !enforced {
		return nil, nil
	}
	for _, need := range p.needs(method) {
		if !p.granted(given, need.on, need.privilege) {
			object := need.on
			return nil, &types.NoPermission{Object: &object, PrivilegeId: need.privilege}
		}
	}
	return nil, nil
}

// has answers HasPrivilegeOnEntities.
func (p *Privileges) has(ctx *simulator.Context, on types.ManagedObjectReference, privilege string) bool {
	p.mutex.Lock()
	given, enforced := p.roles[ctx.Session.UserName]
	p.mutex.Unlock()
	return !enforced || p.granted(given, on, privilege)
}

// granted looks at an object, and all that it is in.
func (p *Privileges) granted(given role, on types.ManagedObjectReference, privilege string) bool {
	for {
		if slices.Contains(given[on], privilege) {
			return true
		}
		entity, ok := p.ctx.Map.Get(on).(mo.Entity)
		if !ok || entity.Entity().Parent == nil {
			return false
		}
		on = *entity.Entity().Parent
	}
}
