"""The Pods of a node are watched without leaving a trace on them."""

from typing import Any, cast

import kopf
import pytest
from kubernetes.aio import client

from provider.kube import embedded, pod_watch
from tests.builders import UID, make_pod


class Receiver:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pod_seen(self, pod: dict) -> None:
        self.told.append(f"seen {pod['metadata']['name']}")

    def pod_deleted(self, uid: str) -> None:
        self.told.append(f"deleted {uid}")

    def pods_relisted(self) -> None:
        self.told.append("relisted")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("ADDED", ["seen web"]),
        ("MODIFIED", ["seen web"]),
        ("DELETED", [f"deleted {UID}"]),
        (None, ["relisted", "seen web"]),
    ],
)
def test_each_event_is_told_as_what_it_is(kind: str | None, told: list[str]) -> None:
    receiver = Receiver()
    pod_watch.tell(receiver, {"type": kind, "object": make_pod()})
    assert receiver.told == told


async def test_pods_get_no_finalizer_and_no_annotation_and_others_pods_are_not_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Any] = []

    async def run(*arguments: Any) -> None:
        given.extend(arguments)

    monkeypatch.setattr(embedded, "run", run)
    await pod_watch.run("vch", Receiver(), client.Configuration(), lambda: None)
    registry, settings = cast("kopf.OperatorRegistry", given[0]), cast("kopf.OperatorSettings", given[1])
    assert len(registry._watching.get_all_handlers()) == 1
    # kopf writes to an object for these kinds of handlers alone.
    kinds = (registry._changing, registry._spawning, registry._indexing)
    assert [handler for kind in kinds for handler in kind.get_all_handlers()] == []
    assert list(settings.watching.field_selectors.values()) == ["spec.nodeName=vch"]
    assert settings.watching.client_timeout is not None, "kopf's watches go silent without one"
    assert settings.watching.server_timeout is not None
