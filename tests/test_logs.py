"""Every line that is logged, ours or a library's, has one form."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from provider import logs
from provider.settings import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process'; other tests have their own."""
    names = ("", "kopf", "aiohttp", "asyncio")
    root = logging.getLogger()
    handlers, levels = root.handlers[:], [logging.getLogger(name).level for name in names]
    yield
    root.handlers[:] = handlers
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_our_lines_and_the_libraries_are_json_of_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogFormat.JSON, LogLevel.INFO)
    structlog.get_logger("provider.test").info("vm cloned", vm="web-1", seconds=0.5)
    logging.getLogger("library").warning("broke: %s", "pipe")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["vm"], ours["seconds"]) == ("vm cloned", "web-1", 0.5)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("broke: pipe", "library", "warning")
    assert {"event", "level", "logger", "timestamp"} <= ours.keys() & theirs.keys()
    assert ours["timestamp"].endswith("Z")


def test_a_failure_is_one_line_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogFormat.JSON, LogLevel.INFO)
    try:
        raise RuntimeError("a defect")
    except RuntimeError:
        structlog.get_logger("provider.test").exception("worker failed", pod="default/web")
    (line,) = lines(capsys)
    assert (line["event"], line["pod"]) == ("worker failed", "default/web")
    assert "a defect" in json.dumps(line)


@pytest.mark.parametrize(("level", "shown"), [(LogLevel.DEBUG, 3), (LogLevel.INFO, 2), (LogLevel.ERROR, 1)])
def test_a_level_hides_what_is_below_it(capsys: pytest.CaptureFixture[str], level: LogLevel, shown: int) -> None:
    logs.set_up(LogFormat.JSON, level)
    log = structlog.get_logger("provider.test")
    log.debug("a")
    log.info("b")
    log.error("c")
    assert len(lines(capsys)) == shown


def test_chatty_libraries_are_heard_only_when_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogFormat.JSON, LogLevel.DEBUG)
    logging.getLogger("kopf.objects").info("Handler 'on_event' succeeded.")
    logging.getLogger("kopf.objects").warning("watch broke")
    assert [line["event"] for line in lines(capsys)] == ["watch broke"]


def test_for_people_a_line_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogFormat.CONSOLE, LogLevel.INFO)
    structlog.get_logger("provider.test").info("vm cloned", vm="web-1")
    told = capsys.readouterr().err
    assert "vm cloned" in told
    assert "vm=web-1" in told
    assert not told.startswith("{")


def test_setting_up_again_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogFormat.JSON, LogLevel.INFO)
    logs.set_up(LogFormat.JSON, LogLevel.INFO)
    logging.getLogger("library").warning("once")
    assert len(lines(capsys)) == 1
