"""One RPC: the bounds of its messages, and bytes that are none."""

import pytest

from chainrule.call import KIB, Call, Resend
from chainrule.errors import ErrorCode, LimitExceeded, ServerFault
from chainrule.proto.v1 import gradient_pb2 as pb

CALL = Call(
    "/chainrule.v1.GradientService/Release",
    pb.ReleaseRequest,
    pb.ReleaseResponse,
    KIB,
    1,
    1.0,
    Resend.FREELY,
)


def test_its_path_names_service_and_method() -> None:
    assert (CALL.service, CALL.method) == ("chainrule.v1.GradientService", "Release")


def test_messages_above_their_bound_are_refused_before_they_are_sent() -> None:
    with pytest.raises(LimitExceeded, match="the Release request takes") as caught:
        CALL.encode_request(pb.ReleaseRequest(lease_id=bytes(2 * KIB)))
    assert caught.value.code is ErrorCode.MESSAGE_TOO_LARGE
    with pytest.raises(LimitExceeded, match="the answer of Release takes 2 bytes") as caught:
        CALL.encode_reply(pb.ReleaseResponse(released=True))
    assert caught.value.code is ErrorCode.RESPONSE_TOO_LARGE


def test_an_answer_that_is_none_is_the_server_s_fault() -> None:
    with pytest.raises(ServerFault, match="the answer of Release is no ReleaseResponse"):
        CALL.decode_reply(b"\xff\xff")
