"""Shape rules of the movement primitives; a batch axis moves by multiples of N only."""

from chainrule.errors import ErrorCode
from chainrule.ir.avals import Aval, BatchDim, Dim, check_shape, shape_product, shape_text
from chainrule.ir.rules import AttrMap, Avals, axes_of, axis_of, broadcast, mismatch, same_dtype


def reshape(avals: Avals, attrs: AttrMap) -> Avals:
    """Reshape(shape): same elements in C order."""
    shape = attrs["shape"]
    assert isinstance(shape, tuple)
    before, after = shape_product(avals[0].shape), shape_product(check_shape(shape))
    if before != after:
        raise mismatch(
            f"{shape_text(avals[0].shape)} has {_elements(before)}, "
            f"{shape_text(shape)} has {_elements(after)}",
            cure="give a shape of equal size",
        )
    return (Aval(avals[0].dtype, shape),)


def transpose(avals: Avals, attrs: AttrMap) -> Avals:
    """Transpose(perm)."""
    perm, aval = attrs["perm"], avals[0]
    assert isinstance(perm, tuple)
    if sorted(axes_of(perm, aval.rank)) != list(range(aval.rank)) or any(
        isinstance(p, BatchDim) or p < 0 for p in perm
    ):
        raise mismatch(
            f"perm {perm} is no permutation of {aval.rank} axes",
            ErrorCode.BAD_AXIS,
            "name each once",
        )
    return (Aval(aval.dtype, tuple(aval.shape[p] for p in perm)),)  # type: ignore[index]


def expand(avals: Avals, attrs: AttrMap) -> Avals:
    """Expand(shape): broadcast to exactly this shape."""
    shape = attrs["shape"]
    assert isinstance(shape, tuple)
    if broadcast(avals[0].shape, check_shape(shape)) != shape:
        raise mismatch(f"{shape_text(avals[0].shape)} doesn't expand to {shape_text(shape)}")
    return (Aval(avals[0].dtype, shape),)


def _between(start: Dim, stop: Dim, step: int, dim: Dim) -> Dim:
    """The length of start:stop:step; bounds of a batch axis are 0 or multiples of N, step 1."""
    if not isinstance(dim, BatchDim):
        if (
            isinstance(start, int)
            and isinstance(stop, int)
            and 0 <= start <= stop <= dim
            and step > 0
        ):
            return (stop - start + step - 1) // step
    elif step == 1 and _multiple(start) is not None and _multiple(stop) is not None:
        a, b = _multiple(start) or 0, _multiple(stop) or 0
        if 0 <= a <= b <= dim.k:
            return BatchDim(b - a) if b > a else 0
    raise mismatch(
        f"slice {start}:{stop}:{step} of an axis of length {dim}",
        ErrorCode.BAD_AXIS,
        "give 0 <= start <= stop <= length and step >= 1; a batch axis is cut at multiples of N only",
    )


def _multiple(dim: Dim) -> int | None:
    """k of k*N; 0 for 0; None for another integer."""
    return dim.k if isinstance(dim, BatchDim) else 0 if dim == 0 else None


def slice_(avals: Avals, attrs: AttrMap) -> Avals:
    """Slice(starts, stops, steps): one entry an axis."""
    aval = avals[0]
    starts, stops, steps = attrs["starts"], attrs["stops"], attrs["steps"]
    assert isinstance(starts, tuple) and isinstance(stops, tuple) and isinstance(steps, tuple)
    if not len(starts) == len(stops) == len(steps) == aval.rank:
        raise mismatch(f"slice attributes for another rank than {aval.rank}", ErrorCode.BAD_AXIS)
    return (
        Aval(
            aval.dtype,
            tuple(
                _between(a, b, s, d)  # type: ignore[arg-type]
                for d, a, b, s in zip(aval.shape, starts, stops, steps, strict=True)
            ),
        ),
    )


def pad(avals: Avals, attrs: AttrMap) -> Avals:
    """Pad(low, high, interior) with zeros; negative low or high cut."""
    aval = avals[0]
    low, high, inner = attrs["low"], attrs["high"], attrs["interior"]
    assert isinstance(low, tuple) and isinstance(high, tuple) and isinstance(inner, tuple)
    if not len(low) == len(high) == len(inner) == aval.rank:
        raise mismatch(f"pad attributes for another rank than {aval.rank}", ErrorCode.BAD_AXIS)
    shape: list[Dim] = []
    for dim, a, b, i in zip(aval.shape, low, high, inner, strict=True):
        if a == b == i == 0:
            shape.append(dim)
            continue
        if isinstance(dim, BatchDim):
            ks = (_multiple(dim), _multiple(a), _multiple(b))
            if i or None in ks or sum(ks) < 1:  # type: ignore[arg-type]
                raise mismatch(
                    f"pad {a}, {b}, {i} of the batch axis {dim}",
                    ErrorCode.BAD_AXIS,
                    "pad a batch axis by multiples of N only",
                )
            shape.append(BatchDim(sum(ks)))  # type: ignore[arg-type]
            continue
        assert isinstance(i, int)
        size = -1
        if isinstance(a, int) and isinstance(b, int) and i >= 0:
            size = dim + max(dim - 1, 0) * i + a + b
        if size < 0:
            raise mismatch(f"pad {a}, {b}, {i} of an axis of length {dim}", ErrorCode.BAD_AXIS)
        shape.append(size)
    return (Aval(aval.dtype, check_shape(tuple(shape))),)


def flip(avals: Avals, attrs: AttrMap) -> Avals:
    """Flip(axes)."""
    axes = attrs["axes"]
    assert isinstance(axes, tuple)
    axes_of(axes, avals[0].rank)
    return avals


def concat(avals: Avals, attrs: AttrMap) -> Avals:
    """Concat(axis): equal shapes but for one axis."""
    dtype, axis = same_dtype(avals), attrs["axis"]
    assert isinstance(axis, int)
    axis = axis_of(axis, avals[0].rank)
    sizes: list[Dim] = []
    for aval in avals:
        if aval.rank != avals[0].rank or any(
            x != y
            for i, (x, y) in enumerate(zip(aval.shape, avals[0].shape, strict=True))
            if i != axis
        ):
            raise mismatch(
                f"{aval} and {avals[0]} don't concatenate along axis {axis}",
                cure="make all other axes equal",
            )
        sizes.append(aval.shape[axis])
    ks = [d.k for d in sizes if isinstance(d, BatchDim)]
    if ks and len(ks) != len(sizes):
        raise mismatch(
            f"lengths {', '.join(map(str, sizes))} concatenated: some depend on the batch",
            ErrorCode.BAD_AXIS,
            "concatenate along another axis",
        )
    total: Dim = BatchDim(sum(ks)) if ks else sum(sizes)  # type: ignore[arg-type]
    shape = (*avals[0].shape[:axis], total, *avals[0].shape[axis + 1 :])
    return (Aval(dtype, check_shape(shape)),)


def _elements(product: tuple[int, int]) -> str:
    """`12 elements`, `12*N elements`."""
    c, power = product
    return f"{c}{'*N' * power} elements"
