"""Fixtures of the agent's tests: no root, no network but loopback."""

import asyncio
from pathlib import Path

import pytest
from vch_agent import pki
from vch_agent.pki import LocalPKI

from tests.guest.build import Hypervisor


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
