"""The program's own log: structlog to stdout, JSON for machines, text on a terminal."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Literal

import orjson
import structlog


def configure_log(*, log_format: Literal["auto", "json", "text"], level: str) -> None:
    """Set up structlog once, at program start. Other libraries' warnings go the same way."""
    text = log_format == "text" or (log_format == "auto" and sys.stdout.isatty())
    lowest = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if text:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a log line must never fail
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            # the default shows the variables of every frame, and some of them are secrets
            exception_formatter=structlog.dev.plain_traceback,
        )
        shared += [_printable, console]
        structlog.configure(
            processors=shared,
            wrapper_class=structlog.make_filtering_bound_logger(lowest),
            logger_factory=structlog.PrintLoggerFactory(sys.stdout),
            cache_logger_on_first_use=False,
        )
    else:
        shared += [structlog.processors.format_exc_info, _render_json]
        structlog.configure(
            processors=shared,
            wrapper_class=structlog.make_filtering_bound_logger(lowest),
            logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
            cache_logger_on_first_use=False,
        )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)


def _printable(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What strangers send reaches a terminal as text, not as commands to it."""
    return {
        name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()
    }


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _render_json(_logger: object, _name: str, event: structlog.typing.EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # lone surrogates from outside; a log line must never fail
        return json.dumps(event, default=str).encode()
