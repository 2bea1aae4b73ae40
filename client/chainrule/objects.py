"""Large tensors on their way to a server and back: by digest, in chunks, each sent at most once."""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from chainrule.calls import CHUNK_BYTES, GET, HAS, INLINE_TENSOR_BYTES, PUT, QUERY_UPLOAD
from chainrule.errors import ErrorCode, GraphError, ServerFault
from chainrule.ir.tensors import aval_of, data_view, decode_tensor, tensor_digest, tensor_header
from chainrule.proto.v1 import object_pb2 as pb
from chainrule.proto.v1 import tensor_pb2
from chainrule.transport import Transport
from chainrule.wire.tensor import object_to_proto, tensor_to_proto

Array = np.ndarray[Any, np.dtype[Any]]

# Of one message: the graph may take 4 MiB of the 8, and the rest must hold names and options too.
INLINE_TOTAL_BYTES = 3 * 2**20
_HAS_AT_ONCE = 1_024
# Digests are asked for again a little before their lease ends.
_LEASE_MARGIN_S = 30.0


class Objects:
    """The object store of one server, seen from a client. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._leases: dict[bytes, float] = {}

    def to_proto(
        self,
        arrays: Mapping[str, Array],
        *,
        deadline: float,
        digests: dict[str, bytes] | None = None,
    ) -> list[tensor_pb2.NamedTensor]:
        """Messages of named arrays; the large ones are uploaded first and named by digest.

        Args:
            arrays: by leaf name.
            deadline: `time.monotonic()` until which uploads may take.
            digests: of all arrays, where the caller has them already.
        """
        inline = _fitting_inline(arrays)
        known = digests or {}
        large = {n: known.get(n) or tensor_digest(a) for n, a in arrays.items() if n not in inline}
        self.put_all({digest: arrays[name] for name, digest in large.items()}, deadline)
        return [
            tensor_pb2.NamedTensor(
                name=name,
                tensor=object_to_proto(aval_of(array), large[name])
                if name in large
                else tensor_to_proto(array),
            )
            for name, array in arrays.items()
        ]

    def put_all(self, arrays: Mapping[bytes, Array], deadline: float) -> None:
        """Uploads the arrays that the server hasn't got, keyed by digest."""
        for digest in self._absent(tuple(arrays), deadline):
            self._put(digest, arrays[digest], deadline)

    def get(self, digest: bytes, deadline: float) -> Array:
        """The array of a digest.

        Raises:
            ServerFault: the bytes that came are not those of the digest.
        """
        parts: list[bytes] = []
        received, total = 0, 1
        while received < total:
            request = pb.GetRequest(digest=digest, offset=received, length=CHUNK_BYTES)
            reply = self._transport.call(GET, request, _left(deadline))
            total = reply.total
            parts.append(reply.data)
            received += len(reply.data)
            if not reply.data:
                break
        data = b"".join(parts)
        if hashlib.sha256(data).digest() != digest:
            raise ServerFault(
                f"object {digest.hex()[:16]} came with other bytes than its digest says",
                cure="ask again; if it stays, the server's storage is damaged",
            )
        return decode_tensor(data)

    def forget(self, digests: Iterable[bytes] = ()) -> None:
        """Asks the server again before relying on these; on all, where none are given."""
        with self._lock:
            for digest in tuple(digests) or tuple(self._leases):
                self._leases.pop(digest, None)

    def _absent(self, digests: tuple[bytes, ...], deadline: float) -> list[bytes]:
        now = time.monotonic()
        with self._lock:
            unsure = [d for d in digests if self._leases.get(d, 0.0) < now]
        absent: list[bytes] = []
        for start in range(0, len(unsure), _HAS_AT_ONCE):
            asked = unsure[start : start + _HAS_AT_ONCE]
            reply = self._transport.call(HAS, pb.HasRequest(digests=asked), _left(deadline))
            for digest, present in zip(asked, reply.present, strict=True):
                if present:
                    self._note(digest, reply.lease_ttl_ms)
                else:
                    absent.append(digest)
        return absent

    def _note(self, digest: bytes, lease_ttl_ms: int) -> None:
        with self._lock:
            until = time.monotonic() + lease_ttl_ms / 1000 - _LEASE_MARGIN_S
            self._leases[digest] = until

    def _put(self, digest: bytes, array: Array, deadline: float) -> None:
        header, data = tensor_header(aval_of(array)), data_view(array)
        total = len(header) + len(data)
        upload_id = secrets.token_bytes(16)
        offset, resumed = 0, 0
        while True:
            request = pb.PutRequest(
                upload_id=upload_id,
                digest=digest,
                total=total,
                offset=offset,
                data=_chunk(header, data, offset),
            )
            try:
                reply = self._transport.call(PUT, request, _left(deadline))
            except GraphError as error:
                # A server that was started again may have kept less, or nothing, of the upload.
                if error.code is not ErrorCode.CHUNK_SEQUENCE or resumed >= 3:
                    raise
                resumed += 1
                query = pb.QueryUploadRequest(upload_id=upload_id)
                offset = self._transport.call(QUERY_UPLOAD, query, _left(deadline)).committed
                continue
            if reply.complete:
                self._note(digest, reply.lease_ttl_ms)
                return
            offset = reply.committed


def _fitting_inline(arrays: Mapping[str, Array]) -> set[str]:
    """The names that go inside the message: the smallest, as long as they fit."""
    inline, total = set(), 0
    for name, array in sorted(arrays.items(), key=lambda item: item[1].nbytes):
        total += array.nbytes
        if array.nbytes > INLINE_TENSOR_BYTES or total > INLINE_TOTAL_BYTES:
            break
        inline.add(name)
    return inline


def _chunk(header: bytes, data: memoryview, offset: int) -> bytes:
    """Up to CHUNK_BYTES of header + data from an offset, without joining the two first."""
    if offset >= len(header):
        start = offset - len(header)
        return bytes(data[start : start + CHUNK_BYTES])
    head = header[offset:]
    return head + bytes(data[: CHUNK_BYTES - len(head)])


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)
