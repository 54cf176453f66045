"""`uninstall` leaves nothing behind or refuses; `check` says what is not well."""

from typing import Any

import pytest

from provider import cli, commands, errors


class ApiServer:
    """Objects by plural; a VCH that is deleted goes after as many looks as the operator takes to drain it."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {
            plural: objects.get(plural, []) for plural in ("virtualcontainerhosts", "podvmclasses", "podvmimages")
        }
        self.objects["parentvms"] = objects.get("parentvms", [])
        self.deleted: list[str] = []
        self.drains = True

    async def request(self, method: str, url_path: str, *, body: Any = None) -> dict[str, Any]:
        plural = url_path.split("/")[4]
        if plural not in self.objects:
            raise errors.KubeNotFound(f"{method} {url_path}: not found")
        if method == "GET":
            items = list(self.objects[plural])
            if self.deleted and self.drains:
                self.objects["virtualcontainerhosts"].clear()
                self.objects["parentvms"].clear()
            return {"items": items}
        assert body["preconditions"]["uid"] == "uid"
        self.deleted.append(url_path.rpartition("/")[2])
        return {}


def named(name: str, ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": "ParentsNotReady", "message": "0 of 1"}]
    return {"metadata": {"name": name, "uid": "uid"}, "status": {"conditions": conditions}}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_AGAIN", 0.0)


async def uninstall(api: ApiServer, policy: str, within: float = 30) -> int:
    return await commands.uninstall(api, policy, within)  # type: ignore[arg-type]


async def check(api: ApiServer) -> int:
    return await commands.check(api, 0)  # type: ignore[arg-type]


async def test_uninstalling_is_refused_while_there_are_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    api = ApiServer(virtualcontainerhosts=[named("production")])
    assert await uninstall(api, "refuse") == commands.FAILED
    assert api.deleted == []
    told = capsys.readouterr().err
    assert "production" in told
    assert "kubectl delete" in told


@pytest.mark.parametrize("policy", ["refuse", "drain"])
async def test_without_hosts_there_is_nothing_to_do(policy: str) -> None:
    api = ApiServer()
    assert await uninstall(api, policy) == 0
    assert api.deleted == []


async def test_kinds_that_were_never_installed_are_nothing_either() -> None:
    api = ApiServer()
    api.objects.clear()
    assert await uninstall(api, "refuse") == 0


async def test_draining_deletes_the_hosts_and_waits_for_them_and_their_parents() -> None:
    api = ApiServer(virtualcontainerhosts=[named("a"), named("b")], parentvms=[named("a-1")])
    assert await uninstall(api, "drain") == 0
    assert api.deleted == ["a", "b"]
    assert api.objects["parentvms"] == []


async def test_draining_says_what_is_left_when_its_time_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    api = ApiServer(virtualcontainerhosts=[named("a", "False")])
    api.drains = False
    assert await uninstall(api, "drain", 0) == commands.FAILED
    assert "still there: a (Ready False: ParentsNotReady: 0 of 1)" in capsys.readouterr().err


async def test_all_is_well_when_every_host_is_ready() -> None:
    assert await check(ApiServer(virtualcontainerhosts=[named("a")])) == 0
    assert await check(ApiServer()) == 0


async def test_a_host_that_is_not_ready_is_named_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = [named("a"), named("b", "False")]
    assert await check(ApiServer(virtualcontainerhosts=hosts)) == commands.FAILED
    told = capsys.readouterr().err
    assert told == "b (Ready False: ParentsNotReady: 0 of 1)\n"


async def test_a_kind_that_is_not_served_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    api = ApiServer()
    del api.objects["podvmimages"]
    assert await check(api) == commands.FAILED
    assert "podvmimages.vch.dev cannot be listed" in capsys.readouterr().err


def test_a_command_without_a_way_to_the_api_server_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert cli.main(["check", "--kubeconfig", str(tmp_path / "none")]) == commands.USAGE
    assert "no usable kubeconfig" in capsys.readouterr().err
