"""Objects over real gRPC: chunks, resumption, checksums, ranges."""

import secrets

import numpy as np
import pytest

from chainrule import calls
from chainrule.ir.tensors import encode_tensor, tensor_digest
from chainrule.proto.v1 import object_pb2 as pb
from chainrule.wire.crc32c import crc32c
from support.serving import Scene


def chunks(seed: int) -> tuple[bytes, list[pb.PutRequest]]:
    """An object of a bit more than two chunks, and the requests that put it."""
    array = np.random.default_rng(seed).random(2 * calls.CHUNK_BYTES // 8 + 5)
    data, upload = encode_tensor(array), secrets.token_bytes(16)
    return data, [
        pb.PutRequest(
            upload_id=upload,
            digest=tensor_digest(array),
            total=len(data),
            offset=at,
            data=data[at : at + calls.CHUNK_BYTES],
            crc32c=crc32c(data[at : at + calls.CHUNK_BYTES]),
        )
        for at in range(0, len(data), calls.CHUNK_BYTES)
    ]


def test_an_object_is_put_in_chunks_and_read_in_ranges(scene: Scene) -> None:
    data, (first, second, last) = chunks(1)
    has = pb.HasRequest(digests=[first.digest, b"\0" * 32])
    assert list(scene.answer(calls.HAS, has).present) == [False, False]
    scene.answer(calls.PUT, first)
    query = pb.QueryUploadRequest(upload_id=first.upload_id)
    assert scene.answer(calls.QUERY_UPLOAD, query).committed == calls.CHUNK_BYTES
    # The answer was lost, so the client sends the same chunk again.
    assert scene.answer(calls.PUT, first).committed == calls.CHUNK_BYTES
    assert not scene.answer(calls.PUT, second).complete
    done = scene.answer(calls.PUT, last)
    assert done.complete
    assert done.lease_ttl_ms > 0
    assert list(scene.answer(calls.HAS, has).present) == [True, False]
    found = b""
    while len(found) < len(data):
        part = scene.answer(calls.GET, pb.GetRequest(digest=first.digest, offset=len(found)))
        assert (part.total, part.crc32c) == (len(data), crc32c(part.data))
        found += part.data
    assert found == data
    few = scene.answer(calls.GET, pb.GetRequest(digest=first.digest, offset=20, length=3))
    assert few.data == data[20:23]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("checksum", "BAD_FIELD"),
        ("gap", "CHUNK_SEQUENCE"),
        ("upload id", "BAD_FIELD"),
        ("digest length", "BAD_FIELD"),
        ("other digest", "CHUNK_SEQUENCE"),
        ("more than total", "CHUNK_SEQUENCE"),
    ],
)
def test_a_wrong_chunk_is_refused(scene: Scene, fault: str, reason: str) -> None:
    _, (first, second, _) = chunks(2)
    match fault:
        case "checksum":
            first.crc32c ^= 1
        case "gap":
            first = second
        case "upload id":
            first.upload_id = b"short"
        case "digest length":
            first.digest = b"short"
        case "other digest":
            scene.answer(calls.PUT, first)
            first.digest = bytes(32)
        case "more than total":
            first.total = 100
    refusal = scene.refusal(calls.PUT, first)
    assert (refusal.status.name, refusal.reason) == ("INVALID_ARGUMENT", reason)


def test_bytes_that_are_not_those_of_the_digest_are_dropped(scene: Scene) -> None:
    data = encode_tensor(np.arange(3.0))
    put = pb.PutRequest(upload_id=b"v" * 16, digest=b"\1" * 32, total=len(data), data=data)
    assert scene.refusal(calls.PUT, put).reason == "BAD_FIELD"
    query = pb.QueryUploadRequest(upload_id=b"v" * 16)
    assert scene.answer(calls.QUERY_UPLOAD, query).committed == 0


def test_what_is_not_there_is_not_found(scene: Scene) -> None:
    refusal = scene.refusal(calls.GET, pb.GetRequest(digest=b"\2" * 32))
    assert refusal.status.name == "NOT_FOUND"
    _, requests = chunks(3)
    for request in requests:
        scene.answer(calls.PUT, request)
    past = pb.GetRequest(digest=requests[0].digest, offset=2**40)
    assert scene.refusal(calls.GET, past).reason == "BAD_FIELD"
