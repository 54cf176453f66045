"""Logs: one line for each event, JSON for machines or coloured text for people, the libraries' lines in the same form.

structlog does it; this sets it up, once. What is logged, and about whom (`pod`, `uid`, `node`, `vm`), is each module's
own business. Secrets are never put into events.
"""

import logging
import sys
from typing import Any

import structlog

from provider.settings import LogFormat, LogLevel

_CHATTY = {
    "kopf": logging.WARNING,  # one line for each object and handler else
    "aiohttp": logging.WARNING,
    "asyncio": logging.WARNING,
}


def set_up(form: LogFormat, level: LogLevel) -> None:
    """Everything that is logged from now on goes to standard error in this form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.value.upper())
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def _rendering(form: LogFormat) -> list[Any]:
    if form is LogFormat.CONSOLE:
        plain = structlog.dev.plain_traceback  # the others print local variables: Secrets are among them
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
