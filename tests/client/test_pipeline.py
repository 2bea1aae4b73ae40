"""Numbering, resending and rolling back, against a server that answers as a test says."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pytest

from chainrule.calls import CLOSE
from chainrule.connection import Address
from chainrule.errors import (
    Cancelled,
    ChainruleError,
    DeadlineExceeded,
    ErrorCode,
    Fenced,
    NonFinite,
    StepConflict,
)
from chainrule.ir.operations import close_digest, next_chain
from chainrule.pipeline import Pending, Pipeline
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.transport import Transport
from chainrule.wire.sessions import header_to_proto
from support.raw_server import RawServer

SESSION = b"s" * 16
FIRST = b"\1" * 32


class Log:
    """A server's side of a session: answers a number once it is there, refuses what it is told to."""

    def __init__(self) -> None:
        self.refusals: dict[int, list[ChainruleError]] = {}
        self.gates: dict[int, threading.Event] = {}
        self.headers: list[pb.OpHeader] = []

    def __call__(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        header = pb.CloseRequest.FromString(data).header
        self.headers.append(header)
        if header.seq in self.gates:
            assert self.gates[header.seq].wait(30)
        if self.refusals.get(header.seq):
            raise self.refusals[header.seq].pop(0)
        return pb.CloseResponse(reply=pb.OpReply(seq=header.seq)).SerializeToString()


def pipeline_to(server: RawServer, window: int = 4) -> tuple[Transport, Pipeline]:
    transport = Transport(Address.parse(server.address))
    return transport, Pipeline(transport, SESSION, epoch=1, next_seq=1, chain=FIRST, window=window)


def submit(
    pipeline: Pipeline,
    cursor: bytes = b"",
    recover: Callable[[ChainruleError], bool] = lambda error: False,
    timeout_s: float = 30.0,
) -> Pending[int]:
    def encode(header: Any) -> bytes:
        return pb.CloseRequest(header=header_to_proto(header)).SerializeToString()

    return pipeline.submit(
        CLOSE,
        close_digest(cursor),
        encode,
        lambda data, chain: pb.CloseResponse.FromString(data).reply.seq,
        recover=recover,
        cursor=cursor,
        timeout_s=timeout_s,
    )


def test_operations_are_numbered_and_chained_without_waiting_for_replies() -> None:
    log = Log()
    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server)
        answers = [submit(pipeline, bytes([i])) for i in range(4)]
        assert [answer.result(30) for answer in answers] == [1, 2, 3, 4]
        transport.close()
    headers = sorted(log.headers, key=lambda h: h.seq)
    chain = FIRST
    for i, header in enumerate(headers):
        assert (header.seq, header.prev, header.epoch) == (i + 1, chain, 1)
        assert header.digest == close_digest(bytes([i]))
        chain = next_chain(chain, header.digest)
    assert len({h.request_id for h in headers}) == 4


def test_a_lost_connection_brings_the_same_bytes_again() -> None:
    log = Log()
    server = RawServer({"Close": log})
    with server.serving():
        transport, pipeline = pipeline_to(server)
        assert submit(pipeline).result(30) == 1
    answer = submit(pipeline)
    with server.serving():
        assert answer.result(30) == 2
        transport.close()
    again = [data for _, data in server.seen if pb.CloseRequest.FromString(data).header.seq == 2]
    assert len(set(again)) == 1


def test_a_server_in_trouble_is_asked_again_with_the_same_bytes() -> None:
    log = Log()
    full = ChainruleError("full", code=ErrorCode.OVERLOADED, retry_after_s=0.01)
    log.refusals[1] = [full, ChainruleError("gap", code=ErrorCode.STEP_GAP)]
    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server)
        assert submit(pipeline).result(30) == 1
        transport.close()
    assert len({data for _, data in server.seen}) == 1
    assert len(server.seen) == 3


def test_what_is_missing_is_mended_and_the_same_bytes_go_again() -> None:
    log, mended = Log(), []
    log.refusals[1] = [ChainruleError("no object", code=ErrorCode.OBJECT_MISSING)]

    def recover(error: ChainruleError) -> bool:
        mended.append(error.code)
        return error.code is ErrorCode.OBJECT_MISSING

    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server)
        assert submit(pipeline, recover=recover).result(30) == 1
        transport.close()
    assert mended == [ErrorCode.OBJECT_MISSING]
    assert len({data for _, data in server.seen}) == 1


def test_a_refused_operation_takes_no_number_and_its_successors_with_it() -> None:
    log = Log()
    log.gates = {1: threading.Event(), 2: threading.Event()}
    log.refusals = {
        1: [NonFinite("loss nan")],
        2: [ChainruleError("follows", code=ErrorCode.PREDECESSOR_FAILED)],
    }
    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server)
        first, second = submit(pipeline, b"a"), submit(pipeline, b"b")
        log.gates[1].set()
        with pytest.raises(NonFinite):
            first.result(30)
        with pytest.raises(StepConflict, match="operation 1, which this one follows, was refused"):
            second.result(30)
        # The next one waits until the doomed one is answered: nothing may fit behind it meanwhile.
        with ThreadPoolExecutor(1) as pool:
            third = pool.submit(submit, pipeline, b"c")
            with pytest.raises(TimeoutError):
                third.result(0.05)
            log.gates[2].set()
            assert third.result(30).result(30) == 1
        transport.close()
    last = log.headers[-1]
    assert (last.seq, last.prev, last.digest) == (1, FIRST, close_digest(b"c"))


def test_being_fenced_ends_the_pipeline_at_once() -> None:
    log = Log()
    log.refusals[1] = [Fenced("epoch 1 has ended", epoch=2)]
    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server)
        with pytest.raises(Fenced):
            submit(pipeline).result(30)
        with pytest.raises(Fenced, match="the session has ended here") as caught:
            submit(pipeline)
        transport.close()
    assert caught.value.facts["epoch"] == 2
    assert len(server.seen) == 1


def test_a_caller_may_stop_waiting_and_the_operation_goes_on() -> None:
    log = Log()
    log.gates[1] = threading.Event()
    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server)
        answer = submit(pipeline)
        with pytest.raises(DeadlineExceeded, match="still being sent; wait with session"):
            pipeline.wait(answer, 0.05)
        assert not pipeline.settle(0.01)
        log.gates[1].set()
        assert pipeline.settle(30)
        assert answer.result(0) == 1
        transport.close()


def test_no_more_than_the_window_is_under_way() -> None:
    log = Log()
    log.gates[1] = threading.Event()
    with RawServer({"Close": log}).serving() as server:
        transport, pipeline = pipeline_to(server, window=1)
        submit(pipeline)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(submit, pipeline)
            with pytest.raises(TimeoutError):
                second.result(0.05)
            assert pipeline.under_way == 1
            log.gates[1].set()
            assert second.result(30).result(30) == 2
        transport.close()


def test_a_closed_client_leaves_no_caller_waiting() -> None:
    with RawServer({}).serving() as server:
        pass
    transport, pipeline = pipeline_to(server)
    answer = submit(pipeline)
    transport.close()
    with pytest.raises(Cancelled):
        answer.result(30)
    with suppress(ChainruleError):
        submit(pipeline).result(30)


async def awaited(answer: Pending[int]) -> int:
    return await answer


def test_an_answer_can_be_awaited() -> None:
    with RawServer({"Close": Log()}).serving() as server:
        transport, pipeline = pipeline_to(server)
        assert asyncio.run(awaited(submit(pipeline))) == 1
        transport.close()
