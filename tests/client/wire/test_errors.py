"""Refusals come back with every fact."""

import pytest

from chainrule.errors import Applied, ChainruleError, ErrorCode, Overloaded, Retry, StepGap
from chainrule.proto.v1 import error_pb2 as pb
from chainrule.wire.errors import error_from_bytes, error_from_proto, status_to_bytes


def full() -> StepGap:
    return StepGap(
        "operation 7 came before 5",
        code=ErrorCode.STEP_GAP,
        request_id="00112233445566778899aabbccddeeff",
        function="main",
        node=17,
        label="h",
        line="model.py:31",
        field="header.seq",
        cure="send 5 first",
        retry=Retry.AFTER,
        applied=Applied.NO,
        next_seq=5,
        chain=bytes(32),
        epoch=2,
        failed_seq=4,
        limit=4,
        value=7,
        missing=(b"\1" * 32, b"\2" * 32),
        retry_after_s=0.25,
        cursor=b"row 96",
    )


def test_every_fact_comes_back() -> None:
    error = full()
    back = error_from_bytes(status_to_bytes(10, str(error), error))
    assert back is not None
    assert type(back) is type(error)
    for name in ("code", "fact", "cure", "request_id", "function", "node", "label", "line"):
        assert getattr(back, name) == getattr(error, name), name
    assert (back.field, back.retry, back.applied) == (error.field, error.retry, error.applied)
    assert back.facts == error.facts
    assert str(back) == str(error)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_reason_comes_back_as_its_exception(code: ErrorCode) -> None:
    error = code.exception("fact", code=code)
    back = error_from_bytes(status_to_bytes(3, "fact", error))
    assert back is not None
    assert (type(back), back.code, back.retry) == (code.exception, code, error.retry)


def test_a_reason_of_a_newer_server_is_an_error_all_the_same() -> None:
    back = error_from_proto(pb.ErrorDetail(reason="FROM_THE_FUTURE", fact="new"))
    assert (back.code, back.fact) == (ErrorCode.INTERNAL, "new")


@pytest.mark.parametrize("trailer", [b"", b"\xff\xff", b"\x08\x03"])
def test_a_trailer_of_somebody_else_gives_none(trailer: bytes) -> None:
    assert error_from_bytes(trailer) is None


def test_googles_own_details_come_along() -> None:
    error = Overloaded("busy", retry_after_s=1.5)
    status = pb.RpcStatus.FromString(status_to_bytes(8, "busy", error))
    kinds = [detail.type_url.rpartition("/")[2] for detail in status.details]
    assert kinds == ["chainrule.v1.ErrorDetail", "google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
    info = pb.RpcErrorInfo.FromString(status.details[1].value)
    assert (info.reason, info.domain) == ("OVERLOADED", "chainrule.v1")
    delay = pb.RpcRetryInfo.FromString(status.details[2].value).retry_delay
    assert delay.ToMilliseconds() == 1500


def test_long_texts_are_cut_so_that_the_trailer_stays_small() -> None:
    error = ChainruleError("x" * 50_000, missing=tuple(bytes([i]) * 32 for i in range(200)))
    assert len(status_to_bytes(3, "x", error)) < 8 * 1024
