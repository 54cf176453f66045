// Package simulator is govmomi's; this file finds what a property filter has to
// tell: the difference between what it told last and what is. The neighbour
// property_wait.go asks it.
package simulator

import (
	"reflect"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type references map[types.ManagedObjectReference]struct{}

// filterView is what a filter has told: guarded by collectorWatch.busy.
type filterView struct {
	told    map[types.ManagedObjectReference]map[string]types.AnyType // nil: nothing yet
	sources references                                                // objects whose properties led to others
}

func (f *PropertyFilter) difference(
	ctx *Context, changed references, reshaped bool,
) ([]types.ObjectUpdate, types.BaseMethodFault) {
	first := f.view.told == nil
	if first {
		f.view.told = map[types.ManagedObjectReference]map[string]types.AnyType{}
	}
	var updates []types.ObjectUpdate
	if first || reshaped || f.view.ledBy(changed) {
		walk := &traversal{ctx: ctx, sources: references{}, seen: references{}}
		if fault := walk.all(f.Spec); fault != nil {
			return nil, fault
		}
		f.view.sources = walk.sources
		for _, ref := range walk.members {
			if _, known := f.view.told[ref]; !known {
				if update, ok := f.compare(ctx, ref); ok {
					updates = append(updates, update)
				}
			}
		}
		for ref := range f.view.told {
			if _, member := walk.seen[ref]; !member {
				delete(f.view.told, ref)
				updates = append(updates, types.ObjectUpdate{Obj: ref, Kind: types.ObjectUpdateKindLeave})
			}
		}
	}
	for ref := range changed {
		if _, known := f.view.told[ref]; known {
			if update, ok := f.compare(ctx, ref); ok {
				updates = append(updates, update)
			}
		}
	}
	return updates, nil
}

func (v *filterView) ledBy(changed references) bool {
	for ref := range changed {
		if _, ok := v.sources[ref]; ok {
			return true
		}
	}
	return false
}

// compare collects an object and tells what is new about it.
func (f *PropertyFilter) compare(ctx *Context, ref types.ManagedObjectReference) (types.ObjectUpdate, bool) {
	collected := &retrieveResult{
		RetrieveResult: new(types.RetrieveResult),
		req:            &types.RetrievePropertiesEx{SpecSet: []types.PropertyFilterSpec{f.Spec}},
		collected:      map[types.ManagedObjectReference]bool{},
	}
	ctx.WithLock(ref, func() { collected.collect(ctx, ref) })
	before, known := f.view.told[ref]
	update := types.ObjectUpdate{Obj: ref, Kind: types.ObjectUpdateKindModify}
	if len(collected.Objects) == 0 { // gone since, or no property asked for
		if update.Kind = types.ObjectUpdateKindLeave; known {
			delete(f.view.told, ref)
		}
		return update, known
	}
	now := map[string]types.AnyType{}
	for _, property := range collected.Objects[0].PropSet {
		if property.Val == nil {
			continue
		}
		now[property.Name] = property.Val
		old, had := before[property.Name]
		if !had || !reflect.DeepEqual(old, property.Val) {
			operation := types.PropertyChangeOpAssign
			if known && !had && keyed(property.Name) {
				operation = types.PropertyChangeOpAdd
			}
			update.ChangeSet = append(update.ChangeSet, types.PropertyChange{
				Name: property.Name, Op: operation, Val: property.Val,
			})
		}
	}
	for name := range before {
		if _, has := now[name]; !has {
			operation := types.PropertyChangeOpIndirectRemove
			if keyed(name) {
				operation = types.PropertyChangeOpRemove
			}
			update.ChangeSet = append(update.ChangeSet, types.PropertyChange{Name: name, Op: operation})
		}
	}
	f.view.told[ref] = now
	if !known {
		update.Kind = types.ObjectUpdateKindEnter
		return update, true
	}
	return update, len(update.ChangeSet) > 0
}

func keyed(path string) bool {
	var field mo.Field
	return field.FromString(path) && field.Key != nil
}

// traversal finds the objects that a filter's specification selects.
type traversal struct {
	ctx     *Context
	named   map[string]*types.TraversalSpec
	members []types.ManagedObjectReference
	seen    references // the members
	sources references // where they were found
}

func (t *traversal) all(spec types.PropertyFilterSpec) types.BaseMethodFault {
	for _, root := range spec.ObjectSet {
		if _, ok := getObject(t.ctx, root.Obj); !ok {
			if isFalse(spec.ReportMissingObjectsInResults) {
				return &types.ManagedObjectNotFound{Obj: root.Obj}
			}
			continue
		}
		if root.SelectSet == nil || isFalse(root.Skip) {
			t.add(root.Obj)
		}
		t.named = map[string]*types.TraversalSpec{}
		if fault := t.follow(root.Obj, root.SelectSet); fault != nil {
			return fault
		}
	}
	return nil
}

func (t *traversal) add(ref types.ManagedObjectReference) {
	if _, ok := t.seen[ref]; !ok {
		t.seen[ref] = struct{}{}
		t.members = append(t.members, ref)
	}
}

func (t *traversal) follow(from types.ManagedObjectReference, set []types.BaseSelectionSpec) types.BaseMethodFault {
	if len(set) == 0 {
		return nil
	}
	t.sources[from] = struct{}{}
	for _, selection := range set {
		if spec, ok := selection.(*types.TraversalSpec); ok && spec.Name != "" {
			t.named[spec.Name] = spec
		}
	}
	for _, selection := range set {
		spec, ok := selection.(*types.TraversalSpec)
		if !ok {
			if spec = t.named[selection.GetSelectionSpec().Name]; spec == nil {
				return &types.InvalidArgument{InvalidProperty: "undefined TraversalSpec name"}
			}
		}
		for _, ref := range t.read(from, spec.Path) {
			if isFalse(spec.Skip) {
				t.add(ref)
			}
			if fault := t.follow(ref, spec.SelectSet); fault != nil {
				return fault
			}
		}
	}
	return nil
}

func (t *traversal) read(from types.ManagedObjectReference, path string) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	t.ctx.WithLock(from, func() {
		if object, ok := getObject(t.ctx, from); ok {
			value, _ := fieldValue(object, path)
			refs = append(refs, fieldRefs(value)...)
		}
	})
	return refs
}
