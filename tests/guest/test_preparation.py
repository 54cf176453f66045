"""The steps of a setup: which, in what order, done once, and what is said of one that fails."""

import sys
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from vch_agent import images, kernel, plan, preparation, registries, setup, trust
from vch_agent.guestinfo import GuestInfo
from vch_agent.plan import Unsupported
from vch_agent.preparation import PreparationFailed, Record
from vch_agent.process import ProgramFailed
from vch_agent.settings import Platform
from vch_agent.setup import Setup
from vch_agent.system import System

from tests.guest import build
from tests.guest.build import RPCTOOL, Booted, Recorder
from tests.guest.test_setup import FULL, PEM

ALL = setup.parse(FULL)


async def _prepare(recorder: Recorder, lib: Path, wanted: Setup, record: Record | None = None) -> Record:
    record = (record or Record()).now("p", wanted)
    steps = plan.steps(record.effective, Platform.VM)
    return await preparation.prepare(cast("System", recorder), lib, record, steps)


async def test_the_steps_come_in_the_order_in_which_each_finds_what_it_needs(tmp_path: Path) -> None:
    recorder = Recorder("panic=5 quiet")
    await _prepare(recorder, tmp_path, ALL)
    assert recorder.done == [
        "write /etc/containerd/certs.d/docker.io/hosts.toml",
        "write /etc/containerd/certs.d/reg:5000/hosts.toml",
        "write /etc/containerd/certs.d/10.0.0.1:5000/hosts.toml",
        "write /etc/containerd/certs.d/vch-ca.pem",
        "write /etc/containerd/certs.d/_default/hosts.toml",
        "write /etc/ssl/certs/vch-ca.pem",
        "trust",
        "write /etc/systemd/system/containerd.service.d/vch-proxy.conf",
        "restart containerd",
        "write /etc/x",
        "write /etc/y",
        "module dummy",
        "sysctl net.core.somaxconn=1024",
        "sysctl net/ipv4/conf/eth0.1/forwarding=1",
        "connect 10.77.0.20/24",
        "pull docker.io/library/busybox:latest",
        "pull reg:5000/app:1",
        "disconnect",
    ]


async def test_a_machine_that_has_all_images_stays_without_a_network(tmp_path: Path) -> None:
    recorder = Recorder("panic=5 quiet")
    recorder.held = {"docker.io/library/busybox:latest", "reg:5000/app:1"}
    await _prepare(recorder, tmp_path, ALL)
    assert not any(done.startswith("connect") for done in recorder.done), "its address may be another's by now"
    recorder.held.pop()
    await _prepare(recorder, tmp_path, ALL)
    assert "connect 10.77.0.20/24" in recorder.done


async def test_a_second_time_restarts_nothing(tmp_path: Path) -> None:
    recorder = Recorder("panic=5 quiet")
    for _ in range(2):
        await _prepare(recorder, tmp_path, ALL)
    assert recorder.done.count("restart containerd") == 1


async def test_without_images_there_is_no_network(tmp_path: Path) -> None:
    recorder = Recorder()
    await _prepare(recorder, tmp_path, setup.parse({"network": FULL["network"]}))
    assert recorder.done == []


@pytest.mark.parametrize(
    ("step", "error", "said"),
    [
        (
            "module dummy",
            ProgramFailed("modprobe ended with 1: not found"),
            "setup.kernelModules dummy: modprobe",
        ),
        (
            "sysctl net.core.somaxconn=1024",
            FileNotFoundError(2, "No such file or directory", "/proc/sys/x"),
            "setup.sysctls.net.core.somaxconn: /proc/sys/x: no such file",
        ),
        ("pull reg:5000/app:1", ProgramFailed("ctr ended with 1: refused"), "setup.preloadImages reg:5000/app:1: ctr"),
    ],
)
async def test_a_step_that_fails_is_named_and_no_network_is_left(
    tmp_path: Path, step: str, error: Exception, said: str
) -> None:
    recorder = Recorder("panic=5 quiet")
    recorder.failing[step] = error
    with pytest.raises(PreparationFailed, match=said):
        await _prepare(recorder, tmp_path, ALL)
    assert recorder.done.count("disconnect") == recorder.done.count("connect 10.77.0.20/24")


async def test_the_kernel_is_booted_once(tmp_path: Path) -> None:
    wanted = setup.parse({"kernelParameters": ["quiet", "panic=5"], "kernelModules": ["dummy"]})
    recorder = Recorder("quiet")
    with pytest.raises(Booted):
        await _prepare(recorder, tmp_path, wanted)
    assert recorder.done == ["boot quiet panic=5"]
    recorder = Recorder("quiet panic=5")
    record = await _prepare(recorder, tmp_path, wanted, preparation.load(tmp_path))
    assert (recorder.done, record.boots) == (["module dummy"], 0)
    with pytest.raises(Booted):  # the machine was reset: the hypervisor's parameters again
        await _prepare(Recorder("quiet"), tmp_path, wanted, record)


async def test_a_kernel_that_comes_back_without_them_is_a_failure(tmp_path: Path) -> None:
    wanted = setup.parse({"kernelParameters": ["panic=5"]})
    with pytest.raises(Booted):
        await _prepare(Recorder("quiet"), tmp_path, wanted)
    with pytest.raises(PreparationFailed, match=r"setup.kernelParameters: the kernel booted without panic=5"):
        await _prepare(Recorder("quiet"), tmp_path, wanted, preparation.load(tmp_path))


async def test_where_the_kernel_cannot_be_booted_that_is_said(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.failing["boot panic=5"] = kernel.CannotBoot("kexec: operation not permitted")
    with pytest.raises(PreparationFailed, match=r"setup.kernelParameters: kexec: operation not permitted"):
        await _prepare(recorder, tmp_path, setup.parse({"kernelParameters": ["panic=5"]}))
    assert preparation.load(tmp_path).boots == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kernelParameters": ["panic=5"]}, "setup.kernelParameters"),
        ({"kernelModules": ["dummy"]}, "setup.kernelModules"),
        ({"sysctls": {"vm.swappiness": "1"}}, "setup.sysctls.vm.swappiness"),
        ({"proxy": {"httpProxy": "http://p:1"}}, "setup.proxy"),
    ],
)
def test_a_native_guest_does_nothing_to_its_host(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        plan.steps(setup.parse(change), Platform.NATIVE)
    assert plan.steps(setup.parse(change), Platform.VM)


def test_a_native_guest_has_what_is_its_own() -> None:
    kept = ("registries", "caBundle", "files", "preloadImages")
    wanted = setup.parse({name: FULL[name] for name in kept} | {"sysctls": {"net.core.somaxconn": "9"}})
    steps = plan.steps(wanted, Platform.NATIVE)
    assert {type(step) for step in steps} == {plan.Write, plan.Trust, plan.SetSysctl, plan.Pull}
    # Its root is in memory: a clone that starts writes it again.
    again = plan.after_boot(wanted, Platform.NATIVE)
    assert [type(step) for step in again] == [type(step) for step in steps if not isinstance(step, plan.Pull)]


def test_a_clone_that_boots_repeats_what_the_disk_does_not_keep() -> None:
    assert {type(step) for step in plan.after_boot(ALL, Platform.VM)} == {plan.LoadModule, plan.SetSysctl}


def test_the_record_outlives_a_boot_and_a_fork_adds_to_it(tmp_path: Path) -> None:
    assert preparation.load(tmp_path) == Record()
    first = Record().now("p", setup.parse({"kernelModules": ["dummy"]}))
    preparation.save(tmp_path, first)
    assert preparation.load(tmp_path) == first
    assert first.forked is False
    fork = preparation.load(tmp_path).now("f", setup.parse({"kernelModules": ["nbd"]}))
    assert (fork.forked, fork.effective.kernel_modules) == (True, ("dummy", "nbd"))
    assert fork.now("f", Setup()).effective.kernel_modules == ("dummy",)
    (tmp_path / "setup.json").write_text("[")
    assert preparation.load(tmp_path) == Record()


def test_registries_are_hosts_files_that_containerd_reads() -> None:
    files = {path: text for path, text in registries.hosts_files(ALL).items() if path.endswith(".toml")}
    read = {path.split("/")[-2]: tomllib.loads(text) for path, text in files.items()}
    assert read["docker.io"]["server"] == "https://registry-1.docker.io"
    assert list(read["docker.io"]["host"]) == ["https://mirror:5000", "http://other/v2/hub"]
    assert read["docker.io"]["host"]["https://mirror:5000"] == {
        "capabilities": ["pull", "resolve"],
        "ca": registries.CA_FILE,
    }
    assert read["docker.io"]["host"]["http://other/v2/hub"]["override_path"] is True
    assert read["reg:5000"]["server"] == "http://reg:5000"
    assert read["reg:5000"]["host"]["https://reg:5000"]["skip_verify"] is True
    assert read["_default"] == {"ca": registries.CA_FILE}
    assert registries.hosts_files(Setup()) == {}
    mirror = setup.parse({"registries": {"mirrors": FULL["registries"]["mirrors"], "insecure": ["mirror:5000"]}})
    host = tomllib.loads(registries.hosts_files(mirror)["/etc/containerd/certs.d/docker.io/hosts.toml"])["host"]
    assert host["https://mirror:5000"]["skip_verify"] is True


def test_a_proxys_password_is_written_as_a_unit_wants_it() -> None:
    told = setup.parse({"proxy": {"httpProxy": "http://u:100%25@p:1"}})
    (step,) = plan.steps(told, Platform.VM)
    assert isinstance(step, plan.Environment)
    assert step.content == '[Service]\nEnvironment="HTTP_PROXY=http://u:100%%25@p:1"\n'


def test_the_bundle_gets_our_certificates_once() -> None:
    once = trust.within("theirs\n", PEM)
    assert once.startswith("theirs\n")
    assert PEM in once
    assert trust.within(once, PEM) == once
    assert trust.within(once, "other\n").count("BEGIN") == 0


def test_photons_boot_configuration_gets_parameters_once() -> None:
    text = "photon_cmdline=init=/lib/systemd/systemd quiet\nphoton_linux=vmlinuz-6.1\n"
    changed = kernel.photon_configured(text, ("quiet", "panic=5"))
    assert changed == text.replace("quiet", "quiet panic=5")
    assert kernel.photon_configured(changed, ("quiet", "panic=5")) == changed
    with pytest.raises(kernel.CannotBoot, match="photon_cmdline"):
        kernel.photon_configured("", ("quiet",))


def test_a_kernel_that_is_not_on_the_disk_cannot_be_booted(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text("quiet\n")
    with pytest.raises(kernel.CannotBoot, match="no boot loader to configure"):
        kernel.boot(tmp_path, ("panic=5",))


def test_the_machine_is_changed_below_its_own_root_only(tmp_path: Path) -> None:
    system = System(build.settings(tmp_path), GuestInfo(RPCTOOL))
    assert system.write("/etc/x/y", "content", 0o640) is True
    assert system.write("/etc/x/y", "content", 0o640) is False
    assert (tmp_path / "etc/x/y").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "etc/x").stat().st_mode & 0o777 == 0o755
    (tmp_path / "proc/sys/net/core").mkdir(parents=True)
    (tmp_path / "proc/sys/net/core/somaxconn").touch()
    system.set_sysctl("net.core.somaxconn", "9")
    assert (tmp_path / "proc/sys/net/core/somaxconn").read_text() == "9\n"
    system.trust(PEM)  # a guest without a bundle
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").write_text("theirs\n")
    system.trust(PEM)
    assert PEM in (tmp_path / "etc/ssl/certs/ca-certificates.crt").read_text()
    (tmp_path / "etc/os-release").write_text('NAME=x\nPRETTY_NAME="Debian 12"\n')
    assert system.distribution() == "Debian 12"


_TABLE = """\
REF                TYPE      DIGEST      SIZE    PLATFORMS   LABELS
sha256:aa          t         sha256:{one} 2.0 MiB linux/amd64 io.cri-containerd.image=managed
a.b/c:1            t         sha256:{one} 2.0 MiB linux/amd64 io.cri-containerd.image=managed
a.b/c:2            t         sha256:{one} 2.0 MiB linux/amd64 io.cri-containerd.image=managed
fresh:1            t         sha256:{two} 3 B linux/amd64 -
""".format(one="1" * 64, two="2" * 64)
_CTR = """#!{python}
import os, pathlib, sys
here = pathlib.Path({folder!r})
with (here / "calls").open("a") as calls:
    print(*sys.argv[1:], os.environ.get("HTTPS_PROXY", ""), file=calls)
if "list" in sys.argv:
    print((here / "table").read_text())
elif (here / "deaf").exists():
    sys.exit("ctr: connection refused")
else:
    table = (here / "table").read_text()
    (here / "table").write_text(table.replace(" -\\n", " io.cri-containerd.image=managed\\n"))
"""


@pytest.fixture
def ctr(tmp_path: Path) -> Path:
    program = tmp_path / "ctr"
    program.write_text(_CTR.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    (tmp_path / "table").write_text(_TABLE)
    return program


async def test_images_have_all_their_names_and_an_exact_size(tmp_path: Path, ctr: Path) -> None:
    settings = build.settings(tmp_path, ctr=str(ctr))
    (image,) = await images.listed(settings)
    assert (image.names, image.size) == (("a.b/c:1", "a.b/c:2"), 2 << 20)
    blobs = tmp_path / "var/lib/containerd/io.containerd.content.v1.content/blobs/sha256"
    blobs.mkdir(parents=True)
    manifest = '{"config": {"size": 10}, "layers": [{"size": 100}, {"size": 1000}]}'
    (blobs / ("1" * 64)).write_text(manifest)
    assert (await images.listed(settings))[0].size == 1110 + len(manifest)


async def test_an_image_is_pulled_once_and_counts_when_the_kubelet_can_see_it(tmp_path: Path, ctr: Path) -> None:
    settings = build.settings(tmp_path, ctr=str(ctr))
    for _ in range(2):
        await images.pull(settings, "fresh:1", {"HTTPS_PROXY": "http://p:1"})
    (pulled,) = [line for line in (tmp_path / "calls").read_text().splitlines() if "images pull" in line]
    assert pulled.endswith(f"--hosts-dir {tmp_path}/etc/containerd/certs.d fresh:1 http://p:1")
    assert "--namespace k8s.io" in pulled


async def test_a_registry_that_is_away_is_asked_again_before_the_pull_fails(
    tmp_path: Path, ctr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_PAUSE", 0.01)
    (tmp_path / "deaf").touch()
    with pytest.raises(ProgramFailed, match="connection refused"):
        await images.pull(build.settings(tmp_path, ctr=str(ctr)), "fresh:1", {})
    assert (tmp_path / "calls").read_text().count("images pull") == 3
