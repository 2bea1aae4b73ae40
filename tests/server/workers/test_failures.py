"""Records of failures: facts survive, secrets and bad bytes don't."""

import json
from typing import Any

import pytest

from chainrule.errors import ChainruleError, ErrorCode, NonFinite, ShapeMismatch
from chainrule_server.workers.failures import (
    MAX_RECORD_BYTES,
    Failure,
    decode_failure,
    encode_failure,
    failure_of,
)


def through(error: BaseException) -> Failure:
    return decode_failure(encode_failure(failure_of(error)))


def test_an_error_of_ours_keeps_its_facts() -> None:
    error = ShapeMismatch(
        "axes 3 and 4 differ",
        code=ErrorCode.SHAPE_MISMATCH,
        node=5,
        label="hidden",
        line="net.py:7",
        function="main",
        cure="transpose it",
        limit=3,
        missing=("not", "a", "scalar"),
    )
    found = through(error).error
    assert type(found) is ShapeMismatch
    assert str(found) == str(error)
    assert (found.node, found.label, found.line, found.function) == (
        5,
        "hidden",
        "net.py:7",
        "main",
    )
    assert found.facts == {"limit": 3}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_comes_back_as_its_exception(code: ErrorCode) -> None:
    found = through(code.exception("why", code=code)).error
    assert (type(found), found.code) == (code.exception, code)


def test_memory_that_ran_out_is_the_callers_to_mend() -> None:
    assert through(MemoryError()).error.code is ErrorCode.COST_BYTES_ACTUAL


def test_a_bug_shows_its_kind_and_leaves_its_text_to_the_log() -> None:
    failure = through(KeyError("/srv/secret"))
    assert failure.error.code is ErrorCode.INTERNAL
    assert "secret" not in str(failure.error)
    assert "secret" in failure.detail


def test_a_long_story_is_cut() -> None:
    facts: dict[str, Any] = {f"fact{number}": "x" * 1000 for number in range(100)}
    error = NonFinite("m" * 100_000, code=ErrorCode.NON_FINITE, **facts)
    data = encode_failure(Failure(error, detail="d" * 1_000_000))
    assert len(data) <= MAX_RECORD_BYTES
    assert decode_failure(data).error.code is ErrorCode.NON_FINITE
    unicode = encode_failure(Failure(ChainruleError("\U0001f600" * 1024), detail="\x00" * 9000))
    assert len(unicode) <= MAX_RECORD_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[" * 16000,
        b"[]",
        b"{}",
        b'{"message": 3}',
        b'{"message": "m", "code": ["x"], "node": "n", "facts": [1], "line": 4}',
        b'{"message": "m", "code": "__class__", "facts": {"message": "x", "self": 1, "code": 2}}',
        json.dumps({"message": "m", "node": True, "detail": 5}).encode(),
    ],
)
def test_a_broken_record_is_an_internal_error_and_never_raises(data: bytes) -> None:
    assert decode_failure(data).error.code is ErrorCode.INTERNAL
