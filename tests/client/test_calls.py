"""The table of calls against the protos, and the bounds that it holds."""

import pytest
from google.protobuf.message import Message

from chainrule import calls
from chainrule.calls import CALLS, Resend
from chainrule.errors import ErrorCode, LimitExceeded, ServerFault
from chainrule.proto.v1 import gradient_pb2, object_pb2, server_pb2, session_pb2


def test_the_table_is_what_the_protos_serve() -> None:
    served = {
        f"/{service.full_name}/{method.name}": (method.input_type.name, method.output_type.name)
        for module in (server_pb2, gradient_pb2, session_pb2, object_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    table = {
        path: (call.request.DESCRIPTOR.name, call.reply.DESCRIPTOR.name)
        for path, call in CALLS.items()
    }
    assert table == served


def test_only_operations_of_a_session_are_sent_until_answered() -> None:
    operations = {c.method for c in CALLS.values() if c.resend is Resend.UNTIL_ANSWERED}
    numbered = {c.method for c in CALLS.values() if "header" in c.request.DESCRIPTOR.fields_by_name}
    assert operations == numbered >= {"Step", "Close"}


@pytest.mark.parametrize("call", CALLS.values(), ids=lambda call: call.method)
def test_an_empty_message_passes_both_ways(call: calls.Call[Message, Message]) -> None:
    assert call.encode_request(call.request()) == b""
    assert call.decode_reply(call.encode_reply(call.reply())) == call.reply()


def test_what_is_too_large_is_refused_before_it_is_sent() -> None:
    chunk = object_pb2.PutRequest(data=bytes(calls.PUT.request_bytes))
    with pytest.raises(LimitExceeded) as refusal:
        calls.PUT.encode_request(chunk)
    assert refusal.value.code is ErrorCode.MESSAGE_TOO_LARGE
    answer = object_pb2.GetResponse(data=bytes(calls.GET.reply_bytes))
    with pytest.raises(LimitExceeded) as refusal:
        calls.GET.encode_reply(answer)
    assert refusal.value.code is ErrorCode.RESPONSE_TOO_LARGE


def test_an_answer_that_is_no_message_names_the_likely_cause() -> None:
    with pytest.raises(ServerFault, match="check that the address"):
        calls.COMPUTE.decode_reply(b"\xff\xff")
