"""Uploads and downloads in chunks, against a store that forgets when a test says so."""

import hashlib
import time
from typing import Any

import grpc
import numpy as np
import pytest

from chainrule.calls import CHUNK_BYTES, INLINE_TENSOR_BYTES
from chainrule.connection import Address
from chainrule.errors import ChainruleError, ErrorCode, ServerFault
from chainrule.ir.tensors import encode_tensor, tensor_digest
from chainrule.objects import Objects
from chainrule.proto.v1 import object_pb2 as pb
from chainrule.transport import Transport
from support.raw_server import RawServer


class Store:
    """Objects by digest, as the protocol says; `loses` forgets the next upload half-way."""

    def __init__(self) -> None:
        self.whole: dict[bytes, bytes] = {}
        self.uploads: dict[bytes, bytearray] = {}
        self.loses = False

    def has(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        asked = pb.HasRequest.FromString(data).digests
        reply = pb.HasResponse(present=[d in self.whole for d in asked], lease_ttl_ms=600_000)
        return reply.SerializeToString()

    def put(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = pb.PutRequest.FromString(data)
        upload = self.uploads.setdefault(request.upload_id, bytearray())
        if self.loses and request.offset:
            self.loses = False
            del upload[CHUNK_BYTES // 2 :]
        if request.offset != len(upload):
            raise ChainruleError("not the next", code=ErrorCode.CHUNK_SEQUENCE)
        upload += request.data
        complete = len(upload) == request.total
        if complete:
            assert hashlib.sha256(upload).digest() == request.digest
            self.whole[request.digest] = bytes(upload)
        reply = pb.PutResponse(committed=len(upload), complete=complete, lease_ttl_ms=600_000)
        return reply.SerializeToString()

    def query(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        upload = self.uploads[pb.QueryUploadRequest.FromString(data).upload_id]
        return pb.QueryUploadResponse(committed=len(upload)).SerializeToString()

    def get(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = pb.GetRequest.FromString(data)
        whole = self.whole[request.digest]
        part = whole[request.offset : request.offset + request.length]
        return pb.GetResponse(data=part, total=len(whole)).SerializeToString()

    def server(self) -> RawServer:
        return RawServer(
            {"Has": self.has, "Put": self.put, "QueryUpload": self.query, "Get": self.get}
        )


def large() -> np.ndarray[Any, np.dtype[Any]]:
    return np.arange(INLINE_TENSOR_BYTES // 8 + 100, dtype=np.float64)


def deadline() -> float:
    return time.monotonic() + 60.0


def test_a_large_array_goes_once_in_chunks_and_is_named_by_its_digest() -> None:
    store, array = Store(), large()
    with store.server().serving() as server:
        objects = Objects(Transport(Address.parse(server.address)))
        for _ in range(2):
            named = objects.to_proto({"x": array, "n": np.ones(())}, deadline=deadline())
    assert [m.tensor.WhichOneof("data") for m in named] == ["object_digest", "raw"]
    assert named[0].tensor.object_digest == tensor_digest(array)
    assert store.whole[tensor_digest(array)] == encode_tensor(array)
    assert [method for method, _ in server.seen] == ["Has", "Put", "Put", "Put"]
    assert all(len(data) <= CHUNK_BYTES + 1024 for _, data in server.seen)


def test_many_arrays_that_don_t_fit_a_message_together_go_as_objects() -> None:
    store = Store()
    arrays = {f"a{i}": np.full(200_000, float(i)) for i in range(8)}
    with store.server().serving() as server:
        objects = Objects(Transport(Address.parse(server.address)))
        named = objects.to_proto(arrays, deadline=deadline())
    inline = sum(len(m.tensor.raw) for m in named)
    assert 0 < inline <= 3 * 2**20
    assert len(store.whole) == 8 - inline // 1_600_000


def test_an_upload_that_a_server_half_lost_is_resumed() -> None:
    store, array = Store(), large()
    store.loses = True
    with store.server().serving() as server:
        objects = Objects(Transport(Address.parse(server.address)))
        objects.put_all({tensor_digest(array): array}, deadline())
    assert store.whole[tensor_digest(array)] == encode_tensor(array)
    assert "QueryUpload" in [method for method, _ in server.seen]


def test_an_object_comes_back_whole_or_not_at_all() -> None:
    store, array = Store(), large()
    digest = tensor_digest(array)
    store.whole[digest] = encode_tensor(array)
    with store.server().serving() as server:
        objects = Objects(Transport(Address.parse(server.address)))
        np.testing.assert_array_equal(objects.get(digest, deadline()), array)
        store.whole[digest] = encode_tensor(array + 1)
        with pytest.raises(ServerFault, match="other bytes than its digest says"):
            objects.get(digest, deadline())


def test_what_was_forgotten_is_asked_for_again() -> None:
    store, array = Store(), large()
    digest = tensor_digest(array)
    with store.server().serving() as server:
        objects = Objects(Transport(Address.parse(server.address)))
        objects.put_all({digest: array}, deadline())
        store.whole.clear()
        objects.put_all({digest: array}, deadline())
        assert digest not in store.whole, "a lease spares the question"
        objects.forget([digest])
        objects.put_all({digest: array}, deadline())
    assert digest in store.whole
