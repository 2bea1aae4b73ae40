"""The log, request ids and counters. One JSON object a line on stderr, one line an event.

Events: start, serving, refused, failed, worker_lost, commit, drain, stopped. Texts of exceptions that are not
ours stay here and never cross the wire; the request id is what a user has in hand.
"""

import logging
import secrets
import sys
import threading
from collections import Counter
from typing import Any, TextIO, cast

import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str, stream: TextIO | None = None) -> None:
    """Set up the log of this process.

    Args:
        level: one of LEVELS; events below it are left out.
        stream: where the lines go; None: stderr.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The log as one room of the server writes it."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(room=room))


def new_request_id() -> str:
    """128 random bits in hex."""
    return secrets.token_hex(16)


class Counters:
    """Numbers that only grow, by name. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Counter[str] = Counter()

    def add(self, name: str, n: int = 1) -> None:
        """Count n more."""
        with self._lock:
            self._values[name] += n

    def snapshot(self) -> dict[str, int]:
        """All values now."""
        with self._lock:
            return dict(self._values)


def fact_fields(facts: dict[str, Any]) -> dict[str, Any]:
    """What of an error's facts a log line may hold: short scalars."""
    return {k: v for k, v in facts.items() if isinstance(v, int | float | bool)}
