"""What an argument looks like, where its numbers are not at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.ir.avals import Aval, BatchDim, Dim, DType


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of an argument.

    Attributes:
        shape: its dimensions; the one at batch_axis doesn't matter.
        dtype: of its elements.
        batch_axis: the axis of the batch, None where there is none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    batch_axis: int | None = None


def spec(
    shape: Sequence[int | None], dtype: Any = np.float64, batch_axis: int | None = None
) -> Spec:
    """An argument of this shape and dtype, for `cr.trace` and `client.estimate`.

    Args:
        shape: dimensions; that of the batch axis may be None.
        dtype: anything NumPy takes as one.
        batch_axis: which axis is the batch, so that the graph serves every batch size.

    Raises:
        ShapeMismatch: a dimension is None or negative, or there is no such axis.
    """
    rank = len(shape)
    if batch_axis is not None and not -rank <= batch_axis < rank:
        raise ShapeMismatch(
            f"batch_axis {batch_axis} of a shape of {rank} axes", code=ErrorCode.BAD_AXIS
        )
    axis = None if batch_axis is None else batch_axis % rank
    dims = tuple(1 if i == axis and d is None else d for i, d in enumerate(shape))
    fixed = tuple(d for d in dims if d is not None and d >= 0)
    if len(fixed) != rank:
        raise ShapeMismatch(
            f"shape {tuple(shape)} has a dimension without length",
            code=ErrorCode.BAD_DIM,
            cure="only the batch axis may be None",
        )
    DType.of(dtype)
    return Spec(fixed, np.dtype(dtype), axis)


def leaf_aval(leaf: Any, name: str, batched: bool) -> Aval | None:
    """The aval of an argument's leaf with k*N on its batch axis; None for a static leaf.

    Strings, None, callables and Python bools are static: the function gets them as they are.

    Raises:
        ShapeMismatch: the leaf is no array, or a batch argument without axes.
        InvalidGraph: its dtype is not one that chainrule computes with.
    """
    if isinstance(leaf, str | bytes | bool | np.dtype) or (
        callable(leaf) and not hasattr(leaf, "shape")
    ):
        return None
    if isinstance(leaf, Spec):
        axis = 0 if batched and leaf.batch_axis is None else leaf.batch_axis
        dtype, dims = DType.of(leaf.dtype), leaf.shape
    else:
        array = np.asarray(leaf)
        if isinstance(leaf, np.ma.MaskedArray):
            raise ShapeMismatch(
                f"argument {name} is a masked array, and its mask would be lost",
                code=ErrorCode.BAD_DTYPE,
                field=name,
                cure="give .filled(0) and the mask as two arguments",
            )
        if array.dtype == object:
            kind = "an array of objects" if array.ndim else f"a {type(leaf).__name__}"
            raise ShapeMismatch(
                f"argument {name} is {kind}, which is no array of numbers",
                code=ErrorCode.BAD_DTYPE,
                field=name,
                cure="give arrays and numbers, in dicts, lists and tuples",
            )
        axis = 0 if batched else None
        dtype, dims = DType.of(array.dtype), array.shape
    if axis is not None and not dims:
        raise ShapeMismatch(
            f"batch argument {name} has no axis",
            code=ErrorCode.BATCH_MISMATCH,
            field=name,
            cure="give arrays with the batch as leading axis (a list is a tree: np.asarray makes it "
            "one), or leave the argument out of batch=",
        )
    shape: tuple[Dim, ...] = tuple(BatchDim(1) if i == axis else d for i, d in enumerate(dims))
    return Aval(dtype, shape)
