"""What kube-proxy is started with: nothing of the pod in it, nothing opened, nothing of the kernel changed."""

import json
from pathlib import Path

from vch_agent import proxyconfig

from tests.guest import build


def test_kube_proxy_opens_nothing_outside_its_loopback_and_changes_no_setting(tmp_path: Path) -> None:
    config = proxyconfig.configuration(tmp_path, build.NODE)
    assert config["mode"] == "nftables"
    assert config["healthzBindAddress"].startswith("127.0.0.1:")
    assert config["metricsBindAddress"].startswith("127.0.0.1:")
    assert config["conntrack"] == {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }


def test_everything_is_written_private_and_the_command_line_names_it(tmp_path: Path) -> None:
    guest = build.settings(tmp_path)
    environment = proxyconfig.write(guest.run, build.NODE, "secret")
    config = guest.run / "kube-proxy/config.json"
    assert environment.read_text() == f'KUBE_PROXY_ARGS="--config={config}"\n'
    kubeconfig = Path(json.loads(config.read_text())["clientConnection"]["kubeconfig"])
    assert kubeconfig.stat().st_mode & 0o077 == 0
    (cluster,) = json.loads(kubeconfig.read_text())["clusters"]
    assert cluster["cluster"]["server"] == "http://kube-proxy:secret@127.0.0.1:8001"
