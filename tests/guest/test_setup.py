"""What a parent is told: every field read, every mistake named, a fork's setup on top of its base's."""

import json
from dataclasses import replace
from typing import Any

import pytest
from vch_agent import references, setup
from vch_agent.parent import Facts, Image, Parent, ParentPhase, report
from vch_agent.setup import Setup

from tests.guest import build

PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
FULL: dict[str, Any] = {
    "network": {"address": "10.77.0.20/24", "gateway": "10.77.0.1", "nameservers": ["10.77.0.2"]},
    "registries": {
        "mirrors": [{"registry": "docker.io", "endpoints": ["https://mirror:5000", "http://other/v2/hub"]}],
        "insecure": ["reg:5000", "10.0.0.1:5000"],
    },
    "caBundle": PEM,
    "proxy": {"httpProxy": "http://p:3128", "httpsProxy": "http://u:p@p:3128", "noProxy": "10.0.0.0/8,.local"},
    "dns": {"servers": ["10.96.0.10"], "domain": "cluster.local"},
    "sysctls": {"net.core.somaxconn": "1024", "net/ipv4/conf/eth0.1/forwarding": "1"},
    "kernelModules": ["dummy"],
    "kernelParameters": ["panic=5", "quiet"],
    "files": [{"path": "/etc/x", "content": "x", "mode": "0600"}, {"path": "/etc/y", "content": ""}],
    "preloadImages": ["busybox", "reg:5000/app:1"],
    "serviceRouting": "Guest",
}


def test_every_field_is_read() -> None:
    read = Parent.parse(build.parent(**FULL)).setup
    assert read.network is not None
    assert (str(read.network.address), str(read.network.gateway)) == ("10.77.0.20/24", "10.77.0.1")
    assert read.mirrors == {"docker.io": ("https://mirror:5000", "http://other/v2/hub")}
    assert read.proxy.environment()["HTTPS_PROXY"] == "http://u:p@p:3128"
    assert [(file.path, file.mode) for file in read.files] == [("/etc/x", 0o600), ("/etc/y", 0o644)]
    assert read.preload_images == ("docker.io/library/busybox:latest", "reg:5000/app:1")
    assert read.dns == setup.DNS(("10.96.0.10",), "cluster.local")
    assert read.kernel_parameters == ("panic=5", "quiet")


def test_nothing_is_required_but_the_node() -> None:
    who = Parent.parse({"node": "vch-0"})
    assert (who.parent_id, who.freeze, who.seed, who.time, who.setup) == ("", False, None, None, Setup())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"network": {"gateway": "10.0.0.1"}}, "setup.network.address"),
        ({"network": {"address": "10.0.0.300/24"}}, "setup.network.address"),
        ({"network": {"address": "10.0.0.3/24", "nameservers": ["dns"]}}, r"setup.network.nameservers\[0\]"),
        ({"registries": []}, "setup.registries"),
        ({"registries": {"mirrors": [{"registry": "a/b", "endpoints": ["http://m"]}]}}, r"mirrors\[0\].registry"),
        ({"registries": {"mirrors": [{"registry": "a", "endpoints": []}]}}, r"mirrors\[0\].endpoints"),
        ({"registries": {"mirrors": [{"registry": "a", "endpoints": ["ftp://m"]}]}}, r"endpoints\[0\]"),
        ({"registries": {"insecure": ["../x"]}}, "setup.registries.insecure"),
        ({"caBundle": "certificate"}, "setup.caBundle"),
        ({"proxy": {"httpProxy": "p:3128"}}, "setup.proxy.httpProxy"),
        ({"proxy": {"noProxy": "a\nb"}}, "setup.proxy.noProxy"),
        ({"dns": {"servers": ["dns"]}}, r"setup.dns.servers\[0\]"),
        ({"dns": {"domain": "a b"}}, "setup.dns.domain"),
        ({"serviceRouting": "guest"}, "setup.serviceRouting"),
        ({"sysctls": {"net..x": "1"}}, "setup.sysctls"),
        ({"sysctls": {"../../etc/passwd": "1"}}, "setup.sysctls"),
        ({"sysctls": {"net.core.somaxconn": 1024}}, "setup.sysctls.net.core.somaxconn"),
        ({"kernelModules": ["dummy; reboot"]}, "setup.kernelModules"),
        ({"kernelModules": "dummy"}, "setup.kernelModules"),
        ({"kernelParameters": ["a b"]}, "setup.kernelParameters"),
        ({"files": [{"path": "etc/x", "content": ""}]}, r"setup.files\[0\].path"),
        ({"files": [{"path": "/etc/../x", "content": ""}]}, r"setup.files\[0\].path"),
        ({"files": [{"path": "/proc/sys/x", "content": ""}]}, r"setup.files\[0\].path"),
        ({"files": [{"path": "/etc/x"}]}, r"setup.files\[0\].content"),
        ({"files": [{"path": "/etc/x", "content": "", "mode": "rw"}]}, r"setup.files\[0\].mode"),
        ({"preloadImages": ["UPPER"]}, r"setup.preloadImages\[0\]"),
        ({"preloadImages": [7]}, r"setup.preloadImages\[0\]"),
    ],
)
def test_the_error_names_the_field(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Parent.parse(build.parent(**change))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"node": ""}, "node"), ({"time": "now"}, "time"), ({"seed": "%"}, "seed"), ({"setup": []}, "setup")],
)
def test_the_parents_own_fields_are_named_too(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"parent.{named}"):
        Parent.parse(build.parent() | change)


def test_what_is_stored_is_read_again() -> None:
    read = setup.parse(FULL)
    assert setup.parse(read.stored()) == replace(read, network=None, preload_images=())


def test_a_fork_adds_to_its_base() -> None:
    base = setup.parse(FULL)
    fork = setup.parse(
        {
            "sysctls": {"net.core.somaxconn": "2048", "kernel.panic": "1"},
            "kernelModules": ["dummy", "br_netfilter"],
            "files": [{"path": "/etc/x", "content": "new"}],
            "caBundle": PEM.replace("MA==", "MQ=="),
            "proxy": {"noProxy": "none"},
            "preloadImages": ["other"],
        }
    )
    both = fork.merged(base)
    assert both.sysctls == {**base.sysctls, "net.core.somaxconn": "2048", "kernel.panic": "1"}
    assert both.kernel_modules == ("dummy", "br_netfilter")
    assert {file.path: file.content for file in both.files} == {"/etc/x": "new", "/etc/y": ""}
    assert both.ca_bundle.count("BEGIN") == 2
    assert both.merged(both) == both
    assert both.dns == base.dns
    assert setup.parse({"dns": {"servers": ["10.0.0.2"]}}).merged(base).dns == setup.DNS(("10.0.0.2",))
    assert both.proxy == setup.Proxy("http://p:3128", "http://u:p@p:3128", "none")
    # The base's images are there already, its network is not.
    assert (both.network, both.preload_images) == (None, ("docker.io/library/other:latest",))


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("user/app:2", "docker.io/user/app:2"),
        ("localhost/app", "localhost/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("reg:5000/a/b:1", "reg:5000/a/b:1"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        (f"a.b/c:1@sha256:{'0' * 64}", f"a.b/c@sha256:{'0' * 64}"),
    ],
)
def test_a_reference_is_written_out(given: str, full: str) -> None:
    assert references.normalized(given) == full
    assert references.normalized(full) == full


@pytest.mark.parametrize("wrong", ["", "a b", "reg:5000/", "a@sha256:0", "--option", "a.b/c:!", "/x"])
def test_a_reference_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        references.normalized(wrong)


def test_the_report_is_one_json_value_as_agreed() -> None:
    facts = Facts("Debian", "6.1", "v1.37.2", "containerd://1.6", "0.1.0", [Image(("a:1",), 5)], shares_memory=False)
    assert json.loads(report("p", ParentPhase.WARM, "a\n b", facts)) == {
        "parentId": "p",
        "phase": "Warm",
        "message": "a b",
        "guest": {
            "osImage": "Debian",
            "kernelVersion": "6.1",
            "kubeletVersion": "v1.37.2",
            "containerRuntimeVersion": "containerd://1.6",
            "agentVersion": "0.1.0",
            "images": [{"names": ["a:1"], "sizeBytes": 5}],
            "sharesMemory": False,
        },
    }
