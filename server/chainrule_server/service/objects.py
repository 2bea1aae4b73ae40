"""Has, Put, QueryUpload, Get."""

from chainrule.calls import CHUNK_BYTES
from chainrule.errors import ErrorCode, GraphError
from chainrule.proto.v1 import object_pb2 as pb
from chainrule.wire.crc32c import crc32c
from chainrule.wire.tensor import check_digest
from chainrule_server.door.request import Request
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.storage.uploads import Chunk


class ObjectServicer:
    """`chainrule.v1.ObjectService`.

    Args:
        store: of all tenants.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def has(self, request: Request[pb.HasRequest]) -> pb.HasResponse:
        """Which objects are here; those get a lease."""
        digests = [
            check_digest(digest, f"digests[{i}]") for i, digest in enumerate(request.body.digests)
        ]
        present = self._store.has(request.tenant, digests)
        return pb.HasResponse(present=present, lease_ttl_ms=self._lease_ms)

    def put(self, request: Request[pb.PutRequest]) -> pb.PutResponse:
        """Take a chunk."""
        body = request.body
        check_digest(body.digest, "digest")
        _check_upload_id(body.upload_id)
        if body.HasField("crc32c") and body.crc32c != crc32c(body.data):
            raise GraphError(
                "the chunk's CRC-32C differs from the one sent with it",
                code=ErrorCode.BAD_FIELD,
                field="crc32c",
                cure="send the chunk again",
            )
        chunk = Chunk(body.upload_id, body.digest, body.total, body.offset, body.data)
        done = self._store.put(request.tenant, chunk)
        return pb.PutResponse(
            committed=done.committed, complete=done.complete, lease_ttl_ms=self._lease_ms
        )

    def query_upload(self, request: Request[pb.QueryUploadRequest]) -> pb.QueryUploadResponse:
        """Where to go on with an upload."""
        _check_upload_id(request.body.upload_id)
        done = self._store.progress(request.tenant, request.body.upload_id)
        return pb.QueryUploadResponse(committed=done.committed, complete=done.complete)

    def get(self, request: Request[pb.GetRequest]) -> pb.GetResponse:
        """A range of an object."""
        body = request.body
        digest = check_digest(body.digest, "digest")
        total = self._store.size(request.tenant, digest)
        if body.offset > total:
            raise GraphError(
                f"offset {body.offset} in an object of {total} bytes",
                code=ErrorCode.BAD_FIELD,
                field="offset",
                cure="read up to total",
            )
        length = min(body.length or CHUNK_BYTES, CHUNK_BYTES, total - body.offset)
        data = self._store.read(request.tenant, digest, body.offset, length) if length else b""
        return pb.GetResponse(data=data, total=total, crc32c=crc32c(data))

    @property
    def _lease_ms(self) -> int:
        return round(1000 * self._store.lease_s)


def _check_upload_id(upload_id: bytes) -> None:
    if len(upload_id) != 16:
        raise GraphError(
            f"an upload id of {len(upload_id)} bytes",
            code=ErrorCode.BAD_FIELD,
            field="upload_id",
            cure="give 16 random bytes",
        )
