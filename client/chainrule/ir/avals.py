"""Avals: what is known of a value before it exists, its dtype and its shape.

A dimension is a plain integer, or a multiple of the one batch symbol N of a graph (`BatchDim(k)`, the
dimension k*N). N is always the whole batch, also inside a shard.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, InvalidGraph, LimitExceeded

MAX_RANK = 8
MAX_DIM = 2**31 - 1
# At 8 bytes an element, NumPy's signed 64-bit byte counts hold whatever is smaller.
MAX_ELEMENTS = 2**60


class DType(IntEnum):
    """Every dtype that may cross a wire: a closed set, its numbers are part of the protocol.

    Numbers 10-16 are reserved for int8, int16, uint16, uint64, complex64, complex128 and bfloat16's kin.
    """

    FLOAT64 = 1
    FLOAT32 = 2
    INT64 = 3
    INT32 = 4
    UINT32 = 5
    UINT8 = 6
    BOOL = 7
    FLOAT16 = 8
    BFLOAT16 = 9

    @property
    def label(self) -> str:
        """The name that NumPy and users write, `float32`."""
        return self.name.lower()

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype, little-endian. bfloat16 has none: it is stored as its 16 bits."""
        return _NUMPY[self]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _NUMPY[self].itemsize

    @property
    def is_float(self) -> bool:
        """Whether derivatives flow through values of this dtype."""
        return self in (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)

    @property
    def is_integer(self) -> bool:
        """Whether this is an integer dtype; bool is not one."""
        return self in (DType.INT64, DType.INT32, DType.UINT32, DType.UINT8)

    @classmethod
    def of(cls, dtype: object) -> "DType":
        """The number of a NumPy dtype.

        Raises:
            InvalidGraph: the dtype is outside the closed set (BAD_DTYPE).
        """
        found = _BY_NAME.get(np.dtype(dtype).name)  # type: ignore[call-overload]
        if found is None:
            raise InvalidGraph(
                f"dtype {np.dtype(dtype)} is not one that chainrule computes with",  # type: ignore[call-overload]
                code=ErrorCode.BAD_DTYPE,
                cure=f"convert with .astype to one of {', '.join(d.label for d in _COMPUTED)}",
            )
        return found


_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.FLOAT64: np.dtype("<f8"),
    DType.FLOAT32: np.dtype("<f4"),
    DType.INT64: np.dtype("<i8"),
    DType.INT32: np.dtype("<i4"),
    DType.UINT32: np.dtype("<u4"),
    DType.UINT8: np.dtype("u1"),
    DType.BOOL: np.dtype("?"),
    DType.FLOAT16: np.dtype("<f2"),
    DType.BFLOAT16: np.dtype("<u2"),
}
_COMPUTED = (
    DType.FLOAT64,
    DType.FLOAT32,
    DType.INT64,
    DType.INT32,
    DType.UINT32,
    DType.UINT8,
    DType.BOOL,
)
_BY_NAME = {d.numpy.name: d for d in _COMPUTED} | {"float16": DType.FLOAT16}


@dataclass(frozen=True, slots=True, order=True)
class BatchDim:
    """The dimension k*N, N being the number of examples of the whole batch."""

    k: int = 1

    def __str__(self) -> str:
        return "N" if self.k == 1 else f"{self.k}N"


Dim = int | BatchDim
Shape = tuple[Dim, ...]


def dim_at(dim: Dim, n: int) -> int:
    """The dimension for a batch of n examples."""
    return dim.k * n if isinstance(dim, BatchDim) else dim


def shape_at(shape: Shape, n: int) -> tuple[int, ...]:
    """The shape for a batch of n examples."""
    return tuple(d.k * n if isinstance(d, BatchDim) else d for d in shape)


def shape_text(shape: Shape) -> str:
    """A shape as users read it: `(N, 784)`."""
    inner = ", ".join(str(d) for d in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def shape_product(shape: Shape) -> tuple[int, int]:
    """The number of elements as (c, p), meaning c * N^p."""
    c = prod(d.k if isinstance(d, BatchDim) else d for d in shape)
    return (c, sum(isinstance(d, BatchDim) for d in shape)) if c else (0, 0)


@dataclass(frozen=True, slots=True)
class Aval:
    """dtype and shape of a value."""

    dtype: DType
    shape: Shape = ()

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_batched(self) -> bool:
        """Whether some axis is a multiple of N."""
        return any(isinstance(d, BatchDim) for d in self.shape)

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as plain integers; only for an aval without batch axis."""
        if self.is_batched:
            raise InvalidGraph(f"{self} has no concrete shape", code=ErrorCode.BAD_DIM)
        return self.shape  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """Elements; only for an aval without batch axis. A Python int: it can't wrap."""
        return prod(self.dims)

    @property
    def nbytes(self) -> int:
        """Bytes of the value in C order."""
        return self.size * self.dtype.itemsize

    def concrete(self, n: int) -> "Aval":
        """The aval for a batch of n examples."""
        return Aval(self.dtype, shape_at(self.shape, n)) if self.is_batched else self

    def __str__(self) -> str:
        return f"{self.dtype.label}[{','.join(str(d) for d in self.shape)}]"


def check_shape(shape: Shape) -> Shape:
    """Refuse shapes that no plan could hold, before anything is derived from them.

    Raises:
        LimitExceeded: more than MAX_RANK axes (RANK_TOO_LARGE), or MAX_ELEMENTS elements (TOO_LARGE).
        InvalidGraph: a dimension below 0 or above MAX_DIM (BAD_DIM).
    """
    if len(shape) > MAX_RANK:
        raise LimitExceeded(
            f"rank {len(shape)} is above {MAX_RANK}",
            code=ErrorCode.RANK_TOO_LARGE,
            cure="merge axes with reshape",
        )
    for dim in shape:
        size = dim.k if isinstance(dim, BatchDim) else dim
        if not (1 if isinstance(dim, BatchDim) else 0) <= size <= MAX_DIM:
            raise InvalidGraph(
                f"dimension {dim} is outside 0 ... {MAX_DIM}",
                code=ErrorCode.BAD_DIM,
                cure="give every axis a length from 0 to 2^31 - 1",
            )
    # A zero axis may not hide a huge one: NumPy would allocate it again at the next reduction.
    if prod(max(d.k if isinstance(d, BatchDim) else d, 1) for d in shape) >= MAX_ELEMENTS:
        raise LimitExceeded(
            f"shape {shape_text(shape)} has 2^60 elements or more",
            code=ErrorCode.TOO_LARGE,
            cure="split the array",
        )
    return shape
