"""What a guest's kubelet really answered (`python3 -m e2e.bench.record_guest`), and as many more as wanted."""

import json
from pathlib import Path

_FOLDER = Path(__file__).parent / "recorded"


def text(target: str, pod: dict) -> bytes:
    """The answer to a path, with that Pod in the place of the recorded one."""
    was = recorded_pod()["metadata"]
    told = (_FOLDER / f"{target.strip('/').replace('/', '-')}.txt").read_text()
    told = told.replace(f'pod="{was["name"]}"', f'pod="{pod["metadata"]["name"]}"')
    return told.replace(was["uid"], pod["metadata"]["uid"]).encode()


def recorded_pod() -> dict:
    found: dict = json.loads((_FOLDER / "pod.json").read_text())
    return found


def numbered_pod(number: int) -> dict:
    """One of many Pods like the recorded one."""
    was = recorded_pod()
    uid = f"{number:08d}-1111-4222-8333-444455556666"
    return {**was, "metadata": {**was["metadata"], "name": f"recorded-{number}", "uid": uid}}
