"""Shape rules: from the avals of the inputs to the avals of the outputs.

Everything is computed in Python integers and multiples of N; nothing is allocated.
"""

from collections.abc import Sequence
from typing import Any

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import (
    Aval,
    Dim,
    DType,
    Shape,
    check_shape,
    shape_text,
)

Avals = tuple[Aval, ...]
AttrMap = dict[str, AttrValue]

# What to do where nothing is reduced by what has no value of nothing.
EMPTY_CURE = "it has no value; test the size first"


def mismatch(
    text: str, code: ErrorCode = ErrorCode.SHAPE_MISMATCH, cure: str = ""
) -> ShapeMismatch:
    """A ShapeMismatch ready to raise."""
    return ShapeMismatch(text, code=code, cure=cure or None)


def broadcast(a: Shape, b: Shape) -> Shape:
    """NumPy's broadcast of two shapes, k*N against 1 included."""
    rank = max(len(a), len(b))
    out: list[Dim] = []
    for x, y in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if x != y and x != 1 and y != 1:
            raise mismatch(
                f"shapes {shape_text(a)} and {shape_text(b)} don't broadcast: {x} against {y}",
                cure="reshape one so that trailing axes agree or are 1",
            )
        out.append(y if x == 1 else x)
    return check_shape(tuple(out))


def same_dtype(avals: Avals) -> DType:
    """The one dtype of all inputs."""
    for aval in avals[1:]:
        if aval.dtype != avals[0].dtype:
            raise mismatch(
                f"dtypes {avals[0].dtype.label} and {aval.dtype.label} meet",
                ErrorCode.DTYPE_MISMATCH,
                "insert a Cast",
            )
    return avals[0].dtype


def require(aval: Aval, kind: str) -> None:
    """Refuse a dtype outside `float`, `number` (float or integer), `integer`, `bool`."""
    dtype = aval.dtype
    ok = {
        "float": dtype.is_float,
        "number": dtype.is_float or dtype.is_integer,
        "integer": dtype.is_integer,
        "bool": dtype is DType.BOOL,
        "bits": dtype.is_integer or dtype is DType.BOOL,
    }[kind]
    if not ok:
        raise mismatch(
            f"dtype {dtype.label} is no {kind} dtype", ErrorCode.DTYPE_MISMATCH, "cast it"
        )


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from 0."""
    if not -rank <= axis < rank:
        raise mismatch(
            f"axis {axis} is outside the {rank} axes of the value",
            ErrorCode.BAD_AXIS,
            f"give an axis from {-rank} to {rank - 1}" if rank else "a 0-d value has no axis",
        )
    return axis % rank


def axes_of(axes: Sequence[Any], rank: int) -> tuple[int, ...]:
    """Several axes counted from 0, each once."""
    out = tuple(axis_of(a, rank) for a in axes)
    if len(set(out)) != len(out):
        raise mismatch(
            f"axes {tuple(axes)} name an axis twice", ErrorCode.BAD_AXIS, "name each once"
        )
    return out


def unary(kind: str) -> Any:
    """One input, same shape and dtype out."""

    def rule(avals: Avals, attrs: AttrMap) -> Avals:
        del attrs
        require(avals[0], kind)
        return avals

    return rule


def binary(kind: str, out: DType | None = None) -> Any:
    """Two inputs of one dtype, broadcast."""

    def rule(avals: Avals, attrs: AttrMap) -> Avals:
        del attrs
        dtype = same_dtype(avals)
        if kind != "any":
            require(avals[0], kind)
        return (Aval(out or dtype, broadcast(avals[0].shape, avals[1].shape)),)

    return rule


def where(avals: Avals, attrs: AttrMap) -> Avals:
    """Where(condition, a, b): all three broadcast."""
    del attrs
    require(avals[0], "bool")
    dtype = same_dtype(avals[1:])
    shape = broadcast(broadcast(avals[0].shape, avals[1].shape), avals[2].shape)
    return (Aval(dtype, shape),)


def to_dtype(avals: Avals, attrs: AttrMap) -> Avals:
    """Cast."""
    dtype = attrs["dtype"]
    assert isinstance(dtype, DType)
    return (Aval(dtype, avals[0].shape),)


def predicate(avals: Avals, attrs: AttrMap) -> Avals:
    """A float question with a bool answer."""
    del attrs
    require(avals[0], "float")
    return (Aval(DType.BOOL, avals[0].shape),)


def constant(avals: Avals, attrs: AttrMap) -> Avals:
    """Constant(dtype, shape, data): data holds every element, or one that fills the shape."""
    del avals
    dtype, shape, data = attrs["dtype"], attrs["shape"], attrs["data"]
    assert isinstance(dtype, DType) and isinstance(shape, tuple) and isinstance(data, bytes)
    aval = Aval(dtype, check_shape(shape))
    if len(data) != dtype.itemsize and (aval.is_batched or len(data) != aval.nbytes):
        raise mismatch(
            f"a constant {aval} of {len(data)} bytes",
            ErrorCode.BYTE_LENGTH,
            f"give {dtype.itemsize} bytes to fill it, or every element",
        )
    return (aval,)


def iota(avals: Avals, attrs: AttrMap) -> Avals:
    """Iota(dtype, shape, axis): the index along axis; along a batch axis the global one."""
    del avals
    dtype, shape, axis = attrs["dtype"], attrs["shape"], attrs["axis"]
    assert isinstance(dtype, DType) and isinstance(shape, tuple) and isinstance(axis, int)
    axis_of(axis, len(shape))
    aval = Aval(dtype, check_shape(shape))
    require(aval, "number")
    return (aval,)


def dim_size(avals: Avals, attrs: AttrMap) -> Avals:
    """DimSize(k): k*N as an int64 scalar."""
    del avals, attrs
    return (Aval(DType.INT64),)


def random_bits(avals: Avals, attrs: AttrMap) -> Avals:
    """RandomBits(key uint32[..., 2], counter int64): uint32 of the counter's shape.

    Leading axes of the key are leading axes of the counter: a key for each of these lanes.
    """
    del attrs
    key, counter = avals
    if key.dtype is not DType.UINT32 or not key.rank or key.shape[-1] != 2:
        raise mismatch(f"a key is uint32[2], not {key}", ErrorCode.DTYPE_MISMATCH)
    if counter.dtype is not DType.INT64:
        raise mismatch(f"a counter is int64, not {counter}", ErrorCode.DTYPE_MISMATCH, "cast it")
    if counter.shape[: key.rank - 1] != key.shape[:-1]:
        raise mismatch(f"keys {key} for counters {counter}: leading axes differ")
    return (Aval(DType.UINT32, counter.shape),)


def matmul(avals: Avals, attrs: AttrMap) -> Avals:
    """MatMul as NumPy's for rank >= 2: (..., m, k) @ (..., k, n), leading axes broadcast."""
    del attrs
    dtype, (a, b) = same_dtype(avals), avals
    require(a, "number")
    if a.rank < 2 or b.rank < 2:
        raise mismatch(f"MatMul of {a} and {b}: both need two axes", cure="reshape vectors first")
    if a.shape[-1] != b.shape[-2]:
        raise mismatch(
            f"{shape_text(a.shape)} @ {shape_text(b.shape)}: "
            f"inner axes {a.shape[-1]} and {b.shape[-2]} differ",
            cure="transpose or reshape one of them",
        )
    lead = broadcast(a.shape[:-2], b.shape[:-2])
    return (Aval(dtype, check_shape((*lead, a.shape[-2], b.shape[-1]))),)


def reduction(kind: str, *, empty: bool, dtype: DType | None = None) -> Any:
    """ReduceSum and kin (axes, keepdims)."""

    def rule(avals: Avals, attrs: AttrMap) -> Avals:
        aval, axes, keep = avals[0], attrs["axes"], attrs["keepdims"]
        assert isinstance(axes, tuple)
        require(aval, kind)
        chosen = axes_of(axes, aval.rank)
        if not empty and any(aval.shape[i] == 0 for i in chosen):
            raise mismatch(
                f"a maximum over the empty axis of {shape_text(aval.shape)}",
                ErrorCode.EMPTY_REDUCTION,
                EMPTY_CURE,
            )
        shape = tuple(
            1 if i in chosen else d for i, d in enumerate(aval.shape) if keep or i not in chosen
        )
        return (Aval(dtype or aval.dtype, shape),)

    return rule


def arg_max(avals: Avals, attrs: AttrMap) -> Avals:
    """ArgMax(axis): int64 index of the first largest."""
    aval, axis = avals[0], attrs["axis"]
    assert isinstance(axis, int)
    axis = axis_of(axis, aval.rank)
    if aval.shape[axis] == 0:
        raise mismatch("an argmax over an empty axis", ErrorCode.EMPTY_REDUCTION, EMPTY_CURE)
    return (Aval(DType.INT64, (*aval.shape[:axis], *aval.shape[axis + 1 :])),)


def gather(avals: Avals, attrs: AttrMap) -> Avals:
    """Gather(axis, batch_dims): table[..b, i, ..] rows by int64 indices with b common leading axes.

    table (B..., P..., d, S...) and index (B..., I...) give (B..., P..., I..., S...).
    """
    table, index = avals
    axis, lead = _gather_axes(table, index, attrs)
    shape = (*table.shape[:axis], *index.shape[lead:], *table.shape[axis + 1 :])
    return (Aval(table.dtype, check_shape(shape)),)


def scatter_add(avals: Avals, attrs: AttrMap) -> Avals:
    """ScatterAdd(axis, batch_dims, size): the transpose of Gather into zeros with size[0] rows."""
    index, updates = avals
    size, axis, lead = attrs["size"], attrs["axis"], attrs["batch_dims"]
    assert isinstance(size, tuple) and isinstance(axis, int) and isinstance(lead, int)
    require(updates, "number")
    n_index = index.rank - lead
    if len(size) != 1 or not 0 <= axis <= updates.rank - n_index:
        raise mismatch(
            f"size {size} or axis {axis} of a ScatterAdd of {updates}", ErrorCode.BAD_AXIS
        )
    shape = (*updates.shape[:axis], *size, *updates.shape[axis + n_index :])
    table = Aval(updates.dtype, check_shape(shape))
    (expected,) = gather((table, index), {"axis": axis, "batch_dims": lead})
    if expected != updates:
        raise mismatch(f"updates are {updates}, the index wants {expected}")
    return (table,)


def _gather_axes(table: Aval, index: Aval, attrs: AttrMap) -> tuple[int, int]:
    axis, lead = attrs["axis"], attrs["batch_dims"]
    assert isinstance(axis, int) and isinstance(lead, int)
    if index.dtype is not DType.INT64:
        raise mismatch(
            f"indices are int64, not {index.dtype.label}", ErrorCode.DTYPE_MISMATCH, "cast"
        )
    axis = axis_of(axis, table.rank)
    if not 0 <= lead <= min(axis, index.rank) or table.shape[:lead] != index.shape[:lead]:
        raise mismatch(
            f"batch_dims {lead} of table {table} and index {index}: leading axes differ",
            ErrorCode.BAD_AXIS,
        )
    return axis, lead


def first_input(avals: Avals, attrs: AttrMap) -> Avals:
    """Same aval as the input (StopGradient, barriers)."""
    del attrs
    return (avals[0],)


def no_rule(avals: Avals, attrs: AttrMap) -> Avals:
    """For rows whose avals come from elsewhere: Input, Item, Call, Vjp, Jvp."""
    raise InvalidGraph("this op has no shape rule of its own", code=ErrorCode.INVALID_GRAPH)
