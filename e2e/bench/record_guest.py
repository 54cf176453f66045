"""What one guest's kubelet really answers to the node-wide paths, recorded for tests and for `merge_metrics`.

    python3 -m e2e.bench.record_guest

Needs a laboratory that is up with native guests (`python3 -m e2e.lab up --guests native`). Runs a Pod of two
containers, one of which ends at once and is not started again, waits until the kubelet has statistics of it, and
writes tests/kubelet/recorded. No credential is in what a kubelet answers there; names and numbers are as they were.
"""

import asyncio
import json
import ssl
import time
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.lab import kubectl, laboratory, netns, paths
from e2e.tests.builders import make_container, make_pod
from e2e.tests.running_lab import RunningLab
from provider.guest import credentials
from provider.guestinfo import GUEST_PORT
from provider.kubelet.directory import GuestEndpoint
from provider.kubelet.fetch import fetch

RECORDED = Path(__file__).parents[2] / "tests" / "kubelet" / "recorded"
TARGETS = ("/metrics", "/metrics/resource", "/metrics/cadvisor", "/metrics/probes", "/stats/summary")
_SETTLES = 45.0  # seconds: the kubelet looks after its statistics every 10 s, at longer and longer intervals


def main() -> None:
    place = paths.here()
    lab = RunningLab(laboratory.up(place, guests=["native"]))
    with netns.entered(place.namespace):
        pod = _run_pod(lab)
        try:
            time.sleep(_SETTLES)
            asyncio.run(_record(_endpoint(lab, pod), pod))
        finally:
            kubectl.run(place, "delete", "pod", pod["metadata"]["name"], "--wait=false")


def _run_pod(lab: RunningLab) -> dict[str, Any]:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 2}
    busy = make_container(script="while true; do echo busy > /dev/null; sleep 0.1; done", livenessProbe=probe)
    once = {**make_container("once", "exit 0"), "restartPolicyRules": None}
    once.pop("restartPolicyRules")
    pod = make_pod("recorded", lab.node("native"), busy, once, restartPolicy="OnFailure")
    place = lab.laboratory.paths
    kubectl.apply(place, pod)
    kubectl.run(place, "wait", "pod/recorded", "--for=jsonpath={.status.phase}=Running", "--timeout=120s")
    found: dict[str, Any] = json.loads(kubectl.run(place, "get", "pod", "recorded", "--output=json"))
    return found


def _endpoint(lab: RunningLab, pod: dict[str, Any]) -> GuestEndpoint:
    node = lab.node("native")
    uid = pod["metadata"]["uid"].replace("-", "")[:10]
    (vm,) = (line for line in lab.govc("find", "/", "-type", "m").split() if line.endswith(uid))
    (info,) = json.loads(lab.govc("vm.info", "-e", "-json", vm))["virtualMachines"]
    extra = {each["key"]: each["value"] for each in info["config"]["extraConfig"]}
    stored = json.loads(
        kubectl.run(
            lab.laboratory.paths, "get", "secret", f"vch-guest-ca-{node}", "--namespace=vch-system", "--output=json"
        )
    )
    tls: ssl.SSLContext = credentials.load(
        {key: b64decode(value).decode() for key, value in stored["data"].items()}, datetime.now(UTC)
    ).kubelet
    return GuestEndpoint(extra["vch.address"], GUEST_PORT, extra["vch.pin"], tls, pod)


async def _record(endpoint: GuestEndpoint, pod: dict[str, Any]) -> None:
    RECORDED.mkdir(exist_ok=True)
    for target in TARGETS:
        text = await fetch(endpoint, target)
        (RECORDED / f"{target.strip('/').replace('/', '-')}.txt").write_bytes(text)
        print(f"{target}: {len(text)} bytes, {text.count(chr(10).encode())} lines")
    known = {key: pod["metadata"][key] for key in ("name", "namespace", "uid", "creationTimestamp")}
    (RECORDED / "pod.json").write_text(json.dumps({"metadata": known, "spec": pod["spec"]}, indent=1))


if __name__ == "__main__":
    main()
