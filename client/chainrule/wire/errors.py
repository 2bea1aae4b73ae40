"""Refusals on the wire: google.rpc.Status in a trailer, with our ErrorDetail and Google's two.

`TRAILER` carries an RpcStatus; its first detail is the ErrorDetail, then google.rpc.ErrorInfo, and
google.rpc.RetryInfo where there is a time to wait, so that tools which know only Google's still help.
"""

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message

from chainrule.errors import Applied, ChainruleError, ErrorCode, Retry
from chainrule.proto.v1 import error_pb2 as pb

TRAILER = "grpc-status-details-bin"
DOMAIN = "chainrule.v1"
_PREFIX = "type.googleapis.com/"
_TEXT_LIMIT = 2_000
# gRPC refuses trailers above 8 KiB in all; these leave room for what else travels there.
_MISSING_LIMIT = 64
_CURSOR_LIMIT = 2_048


def detail_to_proto(error: ChainruleError) -> pb.ErrorDetail:
    """What an exception may tell the other side; texts are cut, not refused."""
    detail = pb.ErrorDetail(
        reason=error.code.name,
        function=_cut(error.function),
        label=_cut(error.label),
        source_line=_cut(error.line),
        field_path=_cut(error.field),
        fact=_cut(error.fact),
        cure=_cut(error.cure),
        retry=f"RETRY_{error.retry.name}",
        applied=f"APPLIED_{error.applied.name}",
        request_id=_id_bytes(error.request_id),
    )
    if error.node is not None:
        detail.node = error.node
    facts = error.facts
    for name in ("next_seq", "epoch", "failed_seq"):
        if isinstance(facts.get(name), int):
            setattr(detail, name, facts[name])
    for name in ("limit", "value"):
        if isinstance(facts.get(name), int | float):
            setattr(detail, name, float(facts[name]))
    if isinstance(facts.get("chain"), bytes):
        detail.chain = facts["chain"]
    cursor = facts.get("client_cursor", facts.get("cursor"))
    if isinstance(cursor, bytes) and len(cursor) <= _CURSOR_LIMIT:
        detail.client_cursor = cursor
    detail.missing_digests.extend(
        d for d in tuple(facts.get("missing", ()))[:_MISSING_LIMIT] if isinstance(d, bytes)
    )
    if isinstance(facts.get("retry_after_s"), int | float):
        detail.retry_after_ms = max(0, round(1000 * facts["retry_after_s"]))
    return detail


def error_from_proto(detail: pb.ErrorDetail) -> ChainruleError:
    """The exception that says the same; a reason of a newer server becomes its nearest kin, INTERNAL."""
    code = ErrorCode.__members__.get(detail.reason, ErrorCode.INTERNAL)
    facts: dict[str, object] = {
        name: getattr(detail, name)
        for name in ("next_seq", "epoch", "failed_seq", "limit", "value")
        if detail.HasField(name)
    }
    if detail.chain:
        facts["chain"] = detail.chain
    if detail.client_cursor:
        facts["cursor"] = detail.client_cursor
    if detail.missing_digests:
        facts["missing"] = tuple(detail.missing_digests)
    if detail.HasField("retry_after_ms"):
        facts["retry_after_s"] = detail.retry_after_ms / 1000
    return code.exception(
        detail.fact or detail.reason,
        code=code,
        request_id=detail.request_id.hex() or None,
        function=detail.function or None,
        node=detail.node if detail.HasField("node") else None,
        label=detail.label or None,
        line=detail.source_line or None,
        field=detail.field_path or None,
        cure=detail.cure or None,
        retry=_RETRY.get(detail.retry),
        applied=_APPLIED.get(detail.applied, Applied.UNKNOWN),
        **facts,
    )


def status_to_bytes(code: int, message: str, error: ChainruleError) -> bytes:
    """The trailer's value.

    Args:
        code: the number of the gRPC status.
        message: its text.
        error: what happened.
    """
    status = pb.RpcStatus(code=code, message=message)
    detail = detail_to_proto(error)
    status.details.append(_packed("chainrule.v1.ErrorDetail", detail))
    info = pb.RpcErrorInfo(reason=error.code.name, domain=DOMAIN)
    status.details.append(_packed("google.rpc.ErrorInfo", info))
    if detail.HasField("retry_after_ms"):
        delay = Duration()
        delay.FromMilliseconds(detail.retry_after_ms)
        status.details.append(_packed("google.rpc.RetryInfo", pb.RpcRetryInfo(retry_delay=delay)))
    return status.SerializeToString()


def error_from_bytes(trailer: bytes) -> ChainruleError | None:
    """The exception in a trailer; None where there is none of ours in it."""
    try:
        status = pb.RpcStatus.FromString(trailer)
        for entry in status.details:
            if entry.type_url == _PREFIX + "chainrule.v1.ErrorDetail":
                return error_from_proto(pb.ErrorDetail.FromString(entry.value))
    except DecodeError:
        return None
    return None


def _packed(name: str, message: Message) -> AnyMessage:
    return AnyMessage(type_url=_PREFIX + name, value=message.SerializeToString())


def _cut(text: str | None) -> str:
    if not text:
        return ""
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _id_bytes(request_id: str | None) -> bytes:
    return bytes.fromhex(request_id) if request_id else b""


_RETRY = {number: Retry[name.removeprefix("RETRY_")] for name, number in pb.Retry.items() if number}
_APPLIED = {
    number: Applied[name.removeprefix("APPLIED_")] for name, number in pb.Applied.items() if number
}
