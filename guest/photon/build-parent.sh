#!/bin/bash
# Turn a fresh Photon 5 VM into a parent VM of virtual-kubelet-vch. Run as root inside it, then shut it down and make it
# a template, or leave it powered on: the agent freezes it when guestinfo.vch.parent says so. See README.md beside this.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guest=$(dirname "$here")
kubelet=
sha256=
proxy=
proxy_sha256=
images=

usage() {
    cat <<EOF
usage: $0 --kubelet PATH|URL --sha256 HEX --kube-proxy PATH|URL --kube-proxy-sha256 HEX [--images FOLDER]
  --kubelet            the kubelet binary, a file or an https:// address
  --sha256             its SHA-256; nothing is installed that does not match
  --kube-proxy         the kube-proxy binary of the same version, likewise
  --kube-proxy-sha256  its SHA-256
  --images             folder of image archives (*.tar) to preload; vch.dev/pause:1 must be among them
EOF
}

die() {
    echo "$0: $*" >&2
    exit 1
}

while (($# > 0)); do
    case $1 in
    --kubelet) kubelet=${2:?--kubelet needs a value} && shift 2 ;;
    --sha256) sha256=${2:?--sha256 needs a value} && shift 2 ;;
    --kube-proxy) proxy=${2:?--kube-proxy needs a value} && shift 2 ;;
    --kube-proxy-sha256) proxy_sha256=${2:?--kube-proxy-sha256 needs a value} && shift 2 ;;
    --images) images=${2:?--images needs a value} && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && die "unknown argument $1" ;;
    esac
done

[[ -n $kubelet && $sha256 =~ ^[0-9a-f]{64}$ ]] || { usage >&2 && die "--kubelet and --sha256 (64 hex digits) are required"; }
[[ -n $proxy && $proxy_sha256 =~ ^[0-9a-f]{64}$ ]] ||
    { usage >&2 && die "--kube-proxy and --kube-proxy-sha256 (64 hex digits) are required"; }
[[ -z $images || -d $images ]] || die "--images: $images is not a folder"
((EUID == 0)) || die "run as root"
# shellcheck source=/dev/null
. /etc/os-release
[[ ${ID:-} == photon && ${VERSION_ID:-} == 5* ]] || die "this is ${PRETTY_NAME:-not Photon}; Photon 5 is required"
[[ -f /sys/fs/cgroup/cgroup.controllers ]] ||
    die "cgroup v2 is required: add systemd.unified_cgroup_hierarchy=1 to the kernel command line in /boot/photon.cfg and reboot"

echo "== packages"
tdnf install -y containerd runc cni python3 openssl open-vm-tools curl tar util-linux iptables nftables kmod \
    ca-certificates
command -v ctr >/dev/null || die "containerd did not bring ctr, which pulls preloaded images"
command -v nft >/dev/null || die "nftables did not bring nft, without which no pod has a network"
[[ -x /opt/cni/bin/host-device || -x /usr/lib/cni/host-device ]] || die "cni did not bring the plugins host-device, static and tuning"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "python3 3.11 or newer is required"
command -v vmware-rpctool >/dev/null || die "open-vm-tools did not bring vmware-rpctool"

download=$(mktemp)
trap 'rm -f "$download"' EXIT

# A program of Kubernetes: its name, where it is, its SHA-256.
program() {
    echo "== $1"
    case $2 in
    https://*) curl --fail --location --proto '=https' --output "$download" "$2" ;;
    *://*) die "--$1: only https:// addresses and files" ;;
    *) cp "$2" "$download" ;;
    esac
    echo "$3  $download" | sha256sum --check --quiet || die "the SHA-256 of $1 is not $3"
    install -m 0755 "$download" "/usr/bin/$1"
}

program kubelet "$kubelet" "$sha256"
program kube-proxy "$proxy" "$proxy_sha256"

echo "== agent, units, containerd"
rm -rf /usr/lib/vch
install -d -m 0755 /usr/lib/vch/vch_agent
install -m 0644 "$guest"/vch_agent/*.py /usr/lib/vch/vch_agent/
python3 -m compileall -q /usr/lib/vch/vch_agent
install -m 0644 "$guest/units/vch-agent.service" "$guest/units/kubelet.service" \
    "$guest/units/kube-proxy.service" /etc/systemd/system/
install -D -m 0644 "$guest/units/containerd.service.d/vch.conf" /etc/systemd/system/containerd.service.d/vch.conf
install -D -m 0644 "$guest/containerd/config.toml" /etc/containerd/config.toml
install -D -m 0644 "$guest/containerd/10-vch.conflist" /etc/cni/net.d/10-vch.conflist
# Photon's plugins are in /opt/cni/bin; the configuration is the same on every guest.
[[ -e /usr/lib/cni ]] || ln -s /opt/cni/bin /usr/lib/cni

echo "== the agent alone configures the network cards"
rm -f /etc/systemd/network/*.network
cat >/etc/systemd/network/00-vch.network <<'EOF'
[Match]
Driver=vmxnet3

[Link]
Unmanaged=yes
EOF
rm -f /etc/resolv.conf
: >/etc/resolv.conf

echo "== services"
systemctl disable --now sshd.service sshd.socket cloud-init.service cloud-init-local.service cloud-config.service \
    cloud-final.service docker.service 2>/dev/null || true
# A pool saved in the parent would be given to all its clones.
systemctl mask systemd-random-seed.service systemd-networkd-wait-online.service systemd-resolved.service \
    systemd-timesyncd.service
systemctl enable containerd.service vch-agent.service kubelet.service kube-proxy.service vmtoolsd.service
swapoff --all
sed -i '/\sswap\s/d' /etc/fstab

if [[ -n $images ]]; then
    echo "== images"
    systemctl restart containerd.service
    for archive in "$images"/*.tar; do
        ctr --namespace k8s.io images import "$archive"
    done
    ctr --namespace k8s.io images list --quiet | grep --quiet --line-regexp 'vch.dev/pause:1' ||
        die "vch.dev/pause:1 is not among the images in $images; no pod could start"
    systemctl stop containerd.service
fi

echo "== nothing of this VM may be in its clones"
rm -rf /etc/ssh/ssh_host_* /root/.ssh /root/.bash_history /home/*/.ssh /home/*/.bash_history
rm -rf /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/dhcp /run/systemd/netif/leases
rm -rf /var/lib/vch /etc/vch/* /var/lib/kubelet/* /var/lib/cloud
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
journalctl --rotate --vacuum-time=1s >/dev/null 2>&1 || true
tdnf clean all >/dev/null
sync

echo "Done. Shut the VM down, then set guestinfo.vch.parent on it and power it on (README.md)."
