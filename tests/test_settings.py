"""Settings: flags over variables, and a clear word for what is missing."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from provider import cli
from provider.settings import Settings
from provider.tenure import Terms

CERTIFICATES = ["--kubelet-certificate", "/c.pem", "--kubelet-key", "/k.pem"]


def test_a_flag_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCH_NAMESPACE", "from-environment")
    monkeypatch.setenv("VCH_VCHS", "a, b,")
    settings = cli.parse([*CERTIFICATES, "--namespace", "from-flag"])
    assert settings.namespace == "from-flag"
    assert settings.vchs == {"a", "b"}
    assert settings.kubelet_key == Path("/k.pem")


@pytest.mark.parametrize("one", [["--kubelet-certificate", "/c.pem"], ["--kubelet-key", "/k.pem"]])
def test_what_is_missing_is_named_as_flag_and_as_variable(one: list[str]) -> None:
    with pytest.raises(ValidationError) as missing:
        cli.parse(one)
    told = cli.explain(missing.value)
    assert "--kubelet-key or VCH_KUBELET_KEY" in told
    assert "both, or neither" in told


def test_without_certificates_each_node_gets_its_own() -> None:
    assert cli.parse([]).serving_files is None
    assert cli.parse(CERTIFICATES).serving_files == (Path("/c.pem"), Path("/k.pem"))


def test_a_client_ca_that_is_not_there_ends_the_program_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--kubelet-client-ca", "/nowhere.pem"]) == cli.USAGE
    assert "--kubelet-client-ca" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value"), [("--kubelet-port", "70000"), ("--log-level", "loud"), ("--pod-ip", "here")]
)
def test_what_cannot_be_used_is_named(flag: str, value: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        cli.parse([*CERTIFICATES, flag, value])
    assert flag in cli.explain(wrong.value)


def test_certificates_that_are_not_there_end_the_program_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(CERTIFICATES) == cli.USAGE
    assert "--kubelet-certificate" in capsys.readouterr().err


def test_everything_may_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCH_KUBELET_CERTIFICATE", "/c.pem")
    monkeypatch.setenv("VCH_KUBELET_KEY", "/k.pem")
    monkeypatch.setenv("VCH_GUEST_REPORT_TIMEOUT", "60")
    settings = cli.parse([])
    assert (settings.kubelet_certificate, settings.guest_report_timeout) == (Path("/c.pem"), 60.0)


def test_what_is_not_said_has_a_default() -> None:
    settings = cli.parse(CERTIFICATES)
    assert (settings.namespace, settings.kubelet_port, settings.vchs) == ("vch-system", 10250, frozenset())
    assert (settings.log_format, settings.metrics_address, settings.kubeconfig) == ("json", "", None)


def test_every_setting_is_a_flag_with_a_description(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(["--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in told
        assert field.description


def test_an_unknown_flag_ends_the_program() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse([*CERTIFICATES, "--nonsense", "1"])
    assert ended.value.code == cli.USAGE


def test_each_process_has_a_name_of_its_own() -> None:
    names = {cli.parse(CERTIFICATES).identity for _ in range(3)}
    assert len(names) == 3
    assert cli.parse([*CERTIFICATES, "--identity", "replica-1"]).identity == "replica-1"


def test_the_terms_of_leases_are_those_of_the_contract() -> None:
    assert cli.parse(CERTIFICATES).terms == Terms(duration=15, renew=5.0, retry=2.0, margin=3.0)


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--identity", "Not A Name", "--identity"),
        ("--lease-duration", "0", "--lease-duration"),
        ("--lease-renew", "13", "--lease-margin"),
        ("--lease-duration", "10", "one slow answer ends a tenure"),
    ],
)
def test_terms_that_cannot_work_are_named(flag: str, value: str, words: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        cli.parse([*CERTIFICATES, flag, value])
    assert words in cli.explain(wrong.value)
