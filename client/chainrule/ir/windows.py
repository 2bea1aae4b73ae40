"""Shape rules of ops along axes: order, running sums, sliding windows and Fourier transforms.

None of them runs along a batch axis as a window: the examples of a batch are no sequence. An order, a running
sum and a transform may; then the batch can't be cut, which the engine says with a notice.
"""

from collections.abc import Sequence
from typing import cast

from chainrule.errors import ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType, check_shape, shape_text
from chainrule.ir.rules import EMPTY_CURE, AttrMap, Avals, axes_of, axis_of, mismatch, require

Ints = tuple[int, ...]


def arg_sort(avals: Avals, attrs: AttrMap) -> Avals:
    """ArgSort(axis): the int64 indices that put the axis in order; stable, NaN last."""
    (aval,) = avals
    require(aval, "number")
    axis_of(cast(int, attrs["axis"]), aval.rank)
    return (Aval(DType.INT64, aval.shape),)


def cum_sum(avals: Avals, attrs: AttrMap) -> Avals:
    """CumSum(axis, reverse, exclusive): running sums, of the input's shape."""
    (aval,) = avals
    require(aval, "number")
    axis_of(cast(int, attrs["axis"]), aval.rank)
    return (aval,)


def unfold(avals: Avals, attrs: AttrMap) -> Avals:
    """Unfold(axes, sizes, strides, dilations): window o of an axis, element w of the window.

    y[..., o_i, ..., w_1, ..., w_k] = x[..., o_i stride_i + w_i dilation_i, ...]: each axis keeps its place
    and holds the windows; the elements of a window are new axes at the end.
    """
    (aval,) = avals
    axes, sizes, strides, dilations = windows_of(attrs, aval.rank)
    shape = list(aval.shape)
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        dim = shape[axis]
        if isinstance(dim, BatchDim):
            raise mismatch(f"a window over the batch axis of {aval}", ErrorCode.BAD_AXIS)
        count = window_count(dim, size, stride, dilation)
        if count < 1:
            raise mismatch(
                f"a window of {size} with dilation {dilation} in the axis of {dim} of "
                f"{shape_text(aval.shape)}",
                cure="pad the axis or take a smaller window",
            )
        shape[axis] = count
    return (Aval(aval.dtype, check_shape((*shape, *sizes))),)


def fold(avals: Avals, attrs: AttrMap) -> Avals:
    """Fold(axes, sizes, strides, dilations, lengths): the transpose of Unfold.

    Every element of a window is added to the place it comes from; `lengths` are those of the axes.
    """
    (aval,) = avals
    require(aval, "number")
    lengths = cast(Ints, attrs["lengths"])
    rank = aval.rank - len(lengths)
    if rank < 0:
        raise mismatch(f"{aval} has fewer axes than windows {lengths}", ErrorCode.BAD_AXIS)
    axes = windows_of(attrs, rank)[0]
    if len(lengths) != len(axes):
        raise mismatch(f"lengths {lengths} of axes {axes}", ErrorCode.BAD_AXIS)
    shape = list(aval.shape[:rank])
    for axis, length in zip(axes, lengths, strict=True):
        shape[axis] = length
    out = Aval(aval.dtype, check_shape(tuple(shape)))
    (expected,) = unfold((out,), attrs)
    if expected != aval:
        raise mismatch(f"windows of {out} are {expected}, not {aval}")
    return (out,)


def dft(avals: Avals, attrs: AttrMap) -> Avals:
    """Dft(axes, inverse): sums of x e^(-2 pi i j k / n), e^(+...) with inverse; neither divides by n.

    The last axis holds real and imaginary part.
    """
    (aval,) = avals
    require(aval, "float")
    if not aval.rank or aval.shape[-1] != 2:
        raise mismatch(
            f"a transform of {aval}", cure="put real and imaginary part on a last axis of length 2"
        )
    axes = axes_of(cast(Ints, attrs["axes"]), aval.rank)
    if aval.rank - 1 in axes:
        raise mismatch("a transform along real and imaginary part", ErrorCode.BAD_AXIS)
    if any(aval.shape[axis] == 0 for axis in axes):
        raise mismatch(
            f"a transform along an empty axis of {aval}", ErrorCode.EMPTY_REDUCTION, EMPTY_CURE
        )
    return (aval,)


def window_count(dim: int, size: int, stride: int, dilation: int) -> int:
    """How many windows an axis holds."""
    return (dim - (size - 1) * dilation - 1) // stride + 1


def windows_of(attrs: AttrMap, rank: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Axes counted from 0, sizes, strides and dilations, one each an axis."""
    axes = axes_of(cast(Ints, attrs["axes"]), rank)
    sizes, strides, dilations = (cast(Ints, attrs[k]) for k in ("sizes", "strides", "dilations"))
    given: Sequence[Ints] = (sizes, strides, dilations)
    if any(len(values) != len(axes) or any(v < 1 for v in values) for values in given):
        raise mismatch(
            f"windows of sizes {sizes}, strides {strides}, dilations {dilations} on axes {axes}",
            ErrorCode.ATTR_RANGE,
            "give a number from 1 on for each axis",
        )
    return axes, sizes, strides, dilations
