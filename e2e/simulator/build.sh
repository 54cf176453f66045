#!/bin/sh
# Builds the simulator's programs, or runs its tests:
#   build.sh OUTDIR      vch-simulator and vmware-rpctool, static
#   build.sh test        gofmt, go vet, go test
#   build.sh env         prints GOFLAGS for working on it by hand: eval "$(./build.sh env)"
#
# govmomi's package `simulator` is compiled with the files of _overlay added and a few of its methods renamed, by
# `go build -overlay`: its methods are found by reflection and its types asserted, so nothing can be added from outside.
# Go refuses to overlay files below its module cache, so the module is copied to our cache folder first, once.
set -eu
cd "$(dirname "$0")"
[ $# -eq 1 ] || { echo "usage: build.sh OUTDIR | test | env" >&2; exit 2; }
case $1 in test | env) out=$1 ;; *) mkdir -p "$1" && out=$(cd "$1" && pwd) ;; esac

cache="${VCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtual-kubelet-vch}"
mkdir -p "$cache"
go mod download github.com/vmware/govmomi
original=$(go list -m -f '{{.Dir}}' github.com/vmware/govmomi)
copy="$cache/$(basename "$original")"
if [ ! -d "$copy" ]; then
	new=$(mktemp -d "$cache/govmomi.XXXXXX")
	cp -r "$original/." "$new"
	chmod -R u+w "$new"
	mv -T "$new" "$copy" 2>/dev/null || rm -rf "$new" # another build was faster
fi

# One folder for each checkout and set of patches, so that builds side by side do not disturb each other.
key=$( (cat build.sh go.mod go.sum && ls _overlay) | sha256sum | cut -c1-12)
work="$cache/simulator-overlay-$(pwd | cksum | cut -d' ' -f1)-$key"
if [ ! -f "$work/overlay.json" ]; then
	new=$(mktemp -d "$cache/simulator-overlay.XXXXXX")

	# patch FILE EXPRESSION...: each sed expression has to change the file.
	patch() {
		file=$1
		shift
		cp "$copy/simulator/$file" "$new/$file"
		for expression in "$@"; do
			sed "$expression" "$new/$file" >"$new/patched"
			if cmp -s "$new/$file" "$new/patched"; then
				echo "build.sh: nothing to patch in govmomi's $file: $expression" >&2
				exit 1
			fi
			mv "$new/patched" "$new/$file"
		done
	}
	# Methods that _overlay has its own of keep their old body under the name upstream...
	ours() { printf 's/^func (\\([a-z]*\\) \\*%s) %s(/func (\\1 *%s) upstream%s(/' "$1" "$2" "$1" "$2"; }
	patch task.go "$(ours Task Run)"
	patch virtual_machine.go \
		"$(ours VirtualMachine PowerOnVMTask)" "$(ours VirtualMachine PowerOffVMTask)" \
		"$(ours VirtualMachine ResetVMTask)" "$(ours VirtualMachine SuspendVMTask)" \
		"$(ours VirtualMachine ShutdownGuest)" "$(ours VirtualMachine StandbyGuest)" \
		"$(ours VirtualMachine DestroyTask)" \
		's/^\tfolderPutChild(ctx, f, vm)$/\tpublishVM(ctx, f, vm)/'
	patch property_collector.go "$(ours PropertyCollector CreateFilter)" \
		"$(ours PropertyCollector WaitForUpdatesEx)" "$(ours PropertyCollector PutObject)" \
		"$(ours PropertyCollector UpdateObject)" "$(ours PropertyCollector RemoveObject)" \
		"$(ours PropertyCollector Fetch)" \
		's/^\tcancel  context.CancelFunc$/&\n\twatch   collectorWatch/'
	patch property_filter.go "$(ours PropertyFilter DestroyPropertyFilter)" 's/^\tsync bool$/&\n\tview filterView/'
	{
		printf '{"Replace": {'
		comma=
		for file in "$new"/*.go; do
			printf '%s\n  "%s": "%s"' "$comma" "$copy/simulator/$(basename "$file")" "$work/$(basename "$file")"
			comma=,
		done
		for file in _overlay/*.go; do
			printf '%s\n  "%s": "%s"' "$comma" "$copy/simulator/vch_$(basename "$file")" "$(pwd)/$file"
		done
		printf '\n}}\n'
	} >"$new/overlay.json"
	cp go.mod go.sum "$new"
	(cd "$new" && go mod edit -replace "github.com/vmware/govmomi=$copy")
	mv -T "$new" "$work" 2>/dev/null || rm -rf "$new"
fi
export GOFLAGS="${GOFLAGS:-} -overlay=$work/overlay.json -modfile=$work/go.mod"

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
