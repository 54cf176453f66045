"""What is logged is for people and machines; what is secret is for neither."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from provider import logs
from provider.settings import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", list(LogFormat))
def test_a_traceback_tells_no_local_variables(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(form, LogLevel.INFO)

    def log_in(password: str) -> None:
        raise ValueError("the login failed")

    try:
        log_in("hunter" + "2")
    except ValueError:
        structlog.get_logger("test").exception("it went wrong", node="vch")
    told = capsys.readouterr().err
    assert "the login failed" in told
    assert "hunter2" not in told


def test_a_library_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogFormat.JSON, LogLevel.INFO)
    logging.getLogger("some.library").warning("careful with %s", "that")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("careful with that", "warning", "some.library")
