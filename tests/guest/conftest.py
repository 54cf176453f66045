"""Fixtures of the agent's tests: no network but loopback. Those of real networks (`wires`) need root."""

import asyncio
from pathlib import Path

import pytest
from vch_agent import clock, parenthood, pki
from vch_agent.pki import LocalPKI

from tests.guest.build import Hypervisor
from tests.guest.machine import Guest


@pytest.fixture
def hypervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    folder = tmp_path / "guestinfo"
    folder.mkdir()
    monkeypatch.setenv("FAKE_GUESTINFO", str(folder))
    return Hypervisor(folder)


@pytest.fixture(scope="session")
def provider_ca(tmp_path_factory: pytest.TempPathFactory) -> LocalPKI:
    """A CA with a client certificate."""
    return asyncio.run(pki.make_local("openssl", tmp_path_factory.mktemp("provider")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parenthood, "POLL", 0.02)
    monkeypatch.setattr(parenthood, "_LOOKS_AGAIN", 0.02)
    monkeypatch.setattr("vch_agent.api_server._HOLD", 0.05)
    monkeypatch.setattr("vch_agent.relay._RECONNECTS_WITHIN", 0.05)
    monkeypatch.setattr(clock, "step", lambda *_, **__: 0.0)  # the provider's hello tells the time


@pytest.fixture
def guest(quick: None, tmp_path: Path, hypervisor: Hypervisor, provider_ca: LocalPKI) -> Guest:
    return Guest(tmp_path / "root", hypervisor, provider_ca)
