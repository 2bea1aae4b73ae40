"""Arrays and their messages."""

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, GraphError, InvalidGraph, PermissionDenied, ShapeMismatch
from chainrule.ir.avals import Aval, DType, check_shape
from chainrule.ir.names import check_name
from chainrule.ir.tensors import aval_of, data_view
from chainrule.proto.v1 import tensor_pb2 as pb

Array = np.ndarray[Any, np.dtype[Any]]
Fetch = Callable[[bytes], Array]


def tensor_to_proto(array: Array) -> pb.Tensor:
    """The message of an array, elements inside; one copy of them."""
    aval = aval_of(array)
    return pb.Tensor(dtype=_number(aval.dtype), dims=aval.dims, raw=bytes(data_view(array)))


def object_to_proto(aval: Aval, digest: bytes) -> pb.Tensor:
    """The message of an array that the other side finds under its digest."""
    return pb.Tensor(dtype=_number(aval.dtype), dims=aval.dims, object_digest=digest)


def aval_to_proto(aval: Aval) -> pb.Tensor:
    """Dtype and dims alone, for calls that need no elements."""
    return pb.Tensor(dtype=_number(aval.dtype), dims=aval.dims)


def aval_from_proto(message: pb.Tensor, field: str = "tensor") -> Aval:
    """Dtype and dims of a message; allocates nothing.

    Raises:
        InvalidGraph: dtype outside the closed set (BAD_DTYPE), a bad dimension (BAD_DIM).
        LimitExceeded: rank or size above the bounds.
    """
    try:
        return Aval(dtype_from_proto(message.dtype), check_shape(tuple(message.dims)))
    except GraphError as error:
        error.field = error.field or field
        raise


def tensor_from_proto(message: pb.Tensor, fetch: Fetch, field: str = "tensor") -> Array:
    """The array of a message: a read-only view of the bytes that protobuf hands over.

    Args:
        message: the tensor.
        fetch: gives the array of an object digest, or raises.
        field: the path to name in an error.

    Raises:
        ShapeMismatch: the bytes are not those of dtype and dims (BYTE_LENGTH), or an object is of
            another aval (SHAPE_MISMATCH).
        PermissionDenied: an arena slice, where no arena is shared.
    """
    aval = aval_from_proto(message, field)
    match message.WhichOneof("data"):
        case "object_digest":
            return _fetched(message.object_digest, aval, fetch, field)
        case "arena":
            raise PermissionDenied(
                "this connection shares no arena",
                code=ErrorCode.PERMISSION_DENIED,
                field=field,
                cure="send the elements as raw bytes or as an object",
            )
    raw = message.raw
    if len(raw) != aval.nbytes:
        raise ShapeMismatch(
            f"{len(raw)} bytes for {aval}, which takes {aval.nbytes}",
            code=ErrorCode.BYTE_LENGTH,
            field=field,
            cure="send every element once, little-endian, in C order",
            limit=aval.nbytes,
            value=len(raw),
        )
    if aval.dtype is DType.BOOL and raw.translate(None, b"\0\1"):
        raise ShapeMismatch(
            "a bool that is neither 0 nor 1",
            code=ErrorCode.BAD_FIELD,
            field=field,
            cure="send 0 or 1",
        )
    return np.frombuffer(raw, aval.dtype.numpy).reshape(aval.dims)


def tensors_to_proto(arrays: Mapping[str, Array]) -> list[pb.NamedTensor]:
    """Named messages, in the order of the mapping."""
    return [pb.NamedTensor(name=n, tensor=tensor_to_proto(a)) for n, a in arrays.items()]


def tensors_from_proto(
    messages: Iterable[pb.NamedTensor], fetch: Fetch, field: str
) -> dict[str, Array]:
    """Arrays by name.

    Raises:
        InvalidGraph: a bad name, or one given twice (DUPLICATE_NAME).
    """
    out: dict[str, Array] = {}
    for i, message in enumerate(messages):
        path = f"{field}[{i}]"
        _new_name(message.name, out, path)
        out[message.name] = tensor_from_proto(message.tensor, fetch, f"{path}.tensor")
    return out


def avals_from_proto(messages: Iterable[pb.NamedTensor], field: str) -> dict[str, Aval]:
    """Avals by name; as `tensors_from_proto` without the elements."""
    out: dict[str, Aval] = {}
    for i, message in enumerate(messages):
        path = f"{field}[{i}]"
        _new_name(message.name, out, path)
        out[message.name] = aval_from_proto(message.tensor, f"{path}.tensor")
    return out


def payload_bytes(messages: Iterable[pb.NamedTensor]) -> int:
    """What the arrays take in C order, whatever their messages hold; Python integers can't wrap."""
    total = 0
    for message in messages:
        dtype = DType.__members__.get(pb.DType.Name(message.tensor.dtype).removeprefix("D_TYPE_"))
        total += prod(message.tensor.dims) * (dtype.itemsize if dtype else 1)
    return total


def dtype_from_proto(number: int) -> DType:
    """The dtype of a number on the wire; a look-up in a closed set.

    Raises:
        InvalidGraph: BAD_DTYPE.
    """
    try:
        return DType(number)
    except ValueError:
        raise InvalidGraph(
            f"dtype number {number} is not one of chainrule's",
            code=ErrorCode.BAD_DTYPE,
            cure="use one of " + ", ".join(f"{d.value} ({d.label})" for d in DType),
        ) from None


def _number(dtype: DType) -> str:
    return f"D_TYPE_{dtype.name}"


def _fetched(digest: bytes, aval: Aval, fetch: Fetch, field: str) -> Array:
    array = fetch(check_digest(digest, field))
    if aval_of(array) != aval:
        raise ShapeMismatch(
            f"object {digest.hex()} is {aval_of(array)}, the request says {aval}",
            code=ErrorCode.SHAPE_MISMATCH,
            field=field,
            cure="name the dtype and dims that the object has",
        )
    return array


def check_digest(digest: bytes, field: str) -> bytes:
    """The digest itself, if it has 32 bytes.

    Raises:
        GraphError: BAD_FIELD.
    """
    if len(digest) != 32:
        raise GraphError(
            f"a digest of {len(digest)} bytes",
            code=ErrorCode.BAD_FIELD,
            field=field,
            cure="give the 32 bytes of the SHA-256",
        )
    return digest


def _new_name(name: str, known: Mapping[str, object], path: str) -> None:
    try:
        check_name(name, "tensor")
    except InvalidGraph as error:
        error.field = f"{path}.name"
        raise
    if name in known:
        raise InvalidGraph(
            f"tensor {name!r} is given twice",
            code=ErrorCode.DUPLICATE_NAME,
            field=f"{path}.name",
            cure="give each name once",
        )
