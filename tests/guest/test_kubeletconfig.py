"""What the guest kubelet is started with, and the agent's own settings."""

import json
from pathlib import Path

import pytest
from vch_agent import kubeletconfig, settings
from vch_agent.pki import LocalPKI
from vch_agent.settings import Platform
from vch_agent.setup import DNS

from tests.guest import build


def test_the_kubelet_speaks_json_with_the_agent_alone(tmp_path: Path) -> None:
    config = kubeletconfig.configuration(build.settings(tmp_path), LocalPKI(tmp_path), DNS())
    assert (config["contentType"], config["registerNode"]) == ("application/json", False)
    assert (config["address"], config["healthzBindAddress"], config["readOnlyPort"]) == ("127.0.0.1", "127.0.0.1", 0)
    assert config["authentication"]["anonymous"] == {"enabled": False}


@pytest.mark.parametrize(
    ("changes", "driver", "extra"),
    [
        ({}, "systemd", {}),
        ({"platform": Platform.NATIVE}, "cgroupfs", {"cgroupsPerQOS": False}),
        ({"platform": Platform.NATIVE, "cgroup_root": "/vch/a"}, "cgroupfs", {"cgroupRoot": "/vch/a"}),
    ],
)
def test_cgroups_follow_the_platform(
    tmp_path: Path, changes: dict[str, object], driver: str, extra: dict[str, object]
) -> None:
    config = kubeletconfig.configuration(build.settings(tmp_path, **changes), LocalPKI(tmp_path), DNS())
    assert config["cgroupDriver"] == driver
    assert extra.items() <= config.items()


def test_everything_is_written_private_and_the_command_line_names_it(tmp_path: Path) -> None:
    guest = build.settings(tmp_path, api_port=8001)
    environment = kubeletconfig.write(guest, LocalPKI(tmp_path), "vch-0", "secret", DNS())
    line = environment.read_text()
    assert line.startswith('KUBELET_ARGS="--config=')
    assert "--hostname-override=vch-0" in line
    assert "secret" not in line  # a command line can be read by everyone
    kubeconfig = guest.run / "kubelet/kubeconfig"
    assert kubeconfig.stat().st_mode & 0o077 == 0
    (cluster,) = json.loads(kubeconfig.read_text())["clusters"]
    assert cluster["cluster"]["server"] == "http://kubelet:secret@127.0.0.1:8001"


def test_settings_come_from_the_environment() -> None:
    found = settings.from_environment({"VCH_PLATFORM": "native", "VCH_API_PORT": "9001", "VCH_ROOT": "/x"})
    assert (found.platform, found.api_port, found.provider_port) == (Platform.NATIVE, 9001, 10350)
    assert str(found.run) == "/x/run/vch"
    assert settings.from_environment({}) == settings.Settings()


@pytest.mark.parametrize("environment", [{"VCH_API_PORT": "http"}, {"VCH_PROVIDER_PORT": "0"}, {"VCH_PLATFORM": "zx"}])
def test_a_setting_that_cannot_be_used_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(environment))):
        settings.from_environment(environment)
