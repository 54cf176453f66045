#!/bin/sh
# Builds the simulator's programs, or runs its tests:
#   build.sh OUTDIR      vch-simulator and vmware-rpctool, static
#   build.sh test        gofmt, go vet, go test
#   build.sh env         prints GOFLAGS for working on it by hand: eval "$(./build.sh env)"
#
# govmomi's package `simulator` is compiled with the files of _overlay added and a few of its methods renamed, from a
# copy of the module in our cache folder: its methods are found by reflection and its types asserted, so nothing can be
# added from outside.
set -eu
cd "$(dirname "$0")"
[ $# -eq 1 ] || { echo "usage: build.sh OUTDIR | test | env" >&2; exit 2; }
case $1 in test | env) out=$1 ;; *) mkdir -p "$1" && out=$(cd "$1" && pwd) ;; esac

# What an earlier `build.sh env` set must not be patched once more.
GOFLAGS=$(printf %s "${GOFLAGS:-}" | sed 's/ *-modfile=[^ ]*//g')
export GOFLAGS

cache="${VCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtual-kubelet-vch}"
mkdir -p "$cache"
go mod download github.com/vmware/govmomi
original=$(go list -m -f '{{.Dir}}' github.com/vmware/govmomi)
key=$(cat build.sh go.mod go.sum _overlay/*.go | sha256sum | cut -c1-12)
copy="$cache/$(basename "$original")-$key"
if [ ! -d "$copy" ]; then
	new=$(mktemp -d "$cache/govmomi.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cp -r "$original/." "$new"
	chmod -R u+w "$new"
	rm -rf "$new/ovf/fixtures"

	# patch FILE EXPRESSION...: each sed expression has to change the file.
	patch() {
		file=$new/simulator/$1
		shift
		for expression in "$@"; do
			sed "$expression" "$file" >"$new/patched"
			if cmp -s "$file" "$new/patched"; then
				echo "build.sh: nothing to patch in govmomi's $file: $expression" >&2
				exit 1
			fi
			mv "$new/patched" "$file"
		done
	}
	# Methods that _overlay has its own of keep their old body under the name upstream...
	ours() { printf 's/^func (\\([a-z]*\\) \\*%s) %s(/func (\\1 *%s) upstream%s(/' "$1" "$2" "$1" "$2"; }
	# ... and of others a line changes: inside TYPE METHOD EXPRESSION.
	inside() { printf '/^func ([a-z]* \\*%s) %s(/,/^}/%s' "$1" "$2" "$3"; }
	patch task.go "$(ours Task Run)"
	patch authorization_manager.go "$(ours AuthorizationManager HasPrivilegeOnEntities)"
	patch virtual_machine.go \
		"$(ours VirtualMachine PowerOnVMTask)" "$(ours VirtualMachine PowerOffVMTask)" \
		"$(ours VirtualMachine ResetVMTask)" "$(ours VirtualMachine SuspendVMTask)" \
		"$(ours VirtualMachine ShutdownGuest)" "$(ours VirtualMachine StandbyGuest)" \
		"$(ours VirtualMachine DestroyTask)" "$(ours VirtualMachine CloneVMTask)" \
		"$(ours VirtualMachine ReconfigVMTask)" "$(ours VirtualMachine MarkAsTemplate)" \
		"$(ours VirtualMachine MarkAsVirtualMachine)" "$(ours VirtualMachine RelocateVMTask)" \
		's/clone\.MarkAsTemplate(&/clone.upstreamMarkAsTemplate(\&/' \
		's/deepCopy(src, &dst)/dst = cloned(src)/' \
		's/deepCopy(\(types.ArrayOfVirtualDevice{.*}\), &defaults)/defaults = cloned(\1)/' \
		's/^\tfolderPutChild(ctx, f, vm)$/\tpublishVM(ctx, f, vm)/' \
		"$(inside VirtualMachine upstreamReconfigVMTask 's/vm\.configure(/vm.reconfigure(/')" \
		"$(inside VirtualMachine configureDevices 's/^\tdevices := .*/\tkeys, devices := vm.beforeEdits(spec)/')" \
		"$(inside VirtualMachine configureDevices 's/^\tif len(changes) != 0 {$/\tdevices = inOrder(devices, keys)\n&/')"
	patch property_collector.go "$(ours PropertyCollector CreateFilter)" \
		"$(ours PropertyCollector WaitForUpdatesEx)" "$(ours PropertyCollector PutObject)" \
		"$(ours PropertyCollector UpdateObject)" "$(ours PropertyCollector RemoveObject)" \
		"$(ours PropertyCollector Fetch)" \
		's/^\tcancel  context.CancelFunc$/&\n\twatch   collectorWatch/'
	patch host_system.go \
		"$(ours HostSystem EnterMaintenanceModeTask)" "$(ours HostSystem ExitMaintenanceModeTask)" \
		"$(ours HostSystem DisconnectHostTask)" "$(ours HostSystem ReconnectHostTask)"
	patch folder.go "$(ours Folder CreateVMTask)"
	patch resource_pool.go "$(ours ResourcePool UpdateConfig)"
	patch session_manager.go "$(ours Context postEvent)" "$(ours SessionManager Login)"
	patch property_filter.go "$(ours PropertyFilter DestroyPropertyFilter)" 's/^\tsync bool$/&\n\tview filterView/'
	for file in _overlay/*.go; do
		cp "$file" "$new/simulator/vch_$(basename "$file")"
	done
	cp go.mod "$new/vch.mod"
	cp go.sum "$new/vch.sum"
	(cd "$new" && GOFLAGS='' go mod edit -replace "github.com/vmware/govmomi=$copy" vch.mod)
	mv -T "$new" "$copy" 2>/dev/null || rm -rf "$new" # another build was faster
	trap - EXIT
fi
GOFLAGS="$GOFLAGS -modfile=$copy/vch.mod"

case $out in
env) echo "export GOFLAGS='$GOFLAGS'" ;;
test)
	unformatted=$(gofmt -l .)
	[ -z "$unformatted" ] || { echo "gofmt: $unformatted" >&2; exit 1; }
	go vet ./...
	go test ./...
	;;
*)
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/" ./cmd/...
	;;
esac
