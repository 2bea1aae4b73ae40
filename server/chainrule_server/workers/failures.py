"""How a worker says what went wrong: a bounded JSON record of scalars, rebuilt as our exception.

The server reads the record as data from a process that may be broken: fields of a wrong type are
left out, an unknown code is INTERNAL.
"""

import json
import traceback
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ChainruleError, ErrorCode, LimitExceeded, ServerFault

MAX_RECORD_BYTES = 16 * 1024
_MAX_TEXT = 1024
_TEXTS = ("function", "label", "line", "field", "cure")


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception to raise for the caller, and what only the server's log may show."""

    error: ChainruleError
    detail: str = ""


def failure_of(error: BaseException) -> Failure:
    """What a caller is told about an exception in a worker."""
    if isinstance(error, ChainruleError):
        return Failure(error)
    if isinstance(error, MemoryError):
        limit = LimitExceeded(
            "the run needed more memory than it was granted",
            code=ErrorCode.COST_BYTES_ACTUAL,
            cure="send a smaller batch, or ask the operator for a larger grant",
        )
        return Failure(limit, detail=_text(error))
    fault = ServerFault(
        f"the engine failed with {type(error).__name__}",
        code=ErrorCode.INTERNAL,
        cure="report it with the request id",
    )
    return Failure(fault, detail=_text(error))


def encode_failure(failure: Failure) -> bytes:
    """At most MAX_RECORD_BYTES of UTF-8 JSON."""
    error = failure.error
    record: dict[str, Any] = {
        "code": error.code.name,
        "message": error.fact[:_MAX_TEXT],
        "node": error.node,
        "detail": failure.detail[-4 * _MAX_TEXT :],
    }
    for name in _TEXTS:
        value = getattr(error, name)
        record[name] = value[:_MAX_TEXT] if isinstance(value, str) else None
    facts = {name: value for name, value in error.facts.items() if _is_scalar(value)}
    data = json.dumps({**record, "facts": facts}).encode()
    if len(data) > MAX_RECORD_BYTES:
        data = json.dumps({"code": error.code.name, "message": error.fact[:_MAX_TEXT]}).encode()
    return data


def decode_failure(data: bytes) -> Failure:
    """The failure in a record; never raises."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("message"), str):
        fault = ServerFault("a worker failed and could not say why", code=ErrorCode.INTERNAL)
        return Failure(fault, detail=f"unreadable record: {data[:200]!r}")
    code = ErrorCode.__members__.get(str(record.get("code")), ErrorCode.INTERNAL)
    texts = {name: record[name] for name in _TEXTS if isinstance(record.get(name), str)}
    node = record.get("node")
    facts = record.get("facts")
    # A fact named as one of the constructor's own fields would be given twice.
    taken = {*_TEXTS, "message", "code", "node", "request_id", "retry", "applied", "self"}
    facts = {k: v for k, v in facts.items() if k not in taken} if isinstance(facts, dict) else {}
    error = code.exception(
        record["message"], code=code, node=node if type(node) is int else None, **texts, **facts
    )
    detail = record.get("detail")
    return Failure(error, detail=detail if isinstance(detail, str) else "")


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return value is None or isinstance(value, bool | int | float)


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
