"""What a clone is told about itself."""

import json

import pytest
from vch_agent.identity import Identity, Phase, report, same_clone

from tests.guest import build

VALUE = build.identity(clientCA="PEM")


def test_every_field_is_read() -> None:
    who = Identity.parse({**VALUE, "gateway": "10.0.0.1"})
    assert (who.clone_id, who.namespace, who.name, who.uid) == ("clone-1", "default", "web", "uid-1")
    assert (str(who.address), str(who.gateway)) == ("127.0.0.1/8", "10.0.0.1")
    assert len(who.seed) == 64
    assert who.nameservers == ("10.0.0.10",)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cloneId": ""}, "identity.cloneId"),
        ({"pod": "web"}, "identity.pod"),
        ({"pod": {"namespace": "a", "name": "b"}}, "identity.pod.uid"),
        ({"address": "10.0.0.300/24"}, "identity.address"),
        ({"gateway": "nowhere"}, "identity.gateway"),
        ({"time": "now"}, "identity.time"),
        ({"time": True}, "identity.time"),
        ({"seed": "%%%"}, "identity.seed"),
        ({"clientCA": None}, "identity.clientCA"),
    ],
)
def test_the_error_names_the_field(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Identity.parse({**VALUE, **change})


def test_another_clone_id_means_that_we_were_cloned() -> None:
    who = Identity.parse(VALUE)
    assert same_clone(who, VALUE)
    assert same_clone(who, None)
    assert not same_clone(who, {**VALUE, "cloneId": "clone-2"})


def test_the_report_is_one_json_value() -> None:
    assert json.loads(report("c", Phase.READY, "sha256:00", "10.0.0.2", 10350)) == {
        "cloneId": "c",
        "phase": "Ready",
        "fingerprint": "sha256:00",
        "address": "10.0.0.2",
        "port": 10350,
        "message": "",
    }
