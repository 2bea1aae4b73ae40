"""The matrix product, which is nearly all the work of a network."""

from functools import partial
from math import prod

import numpy as np

from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.expr import Expr, reshape
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import refuse_stored, total
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Op,
    Tangents,
    Thunk,
)


def _bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    """BLAS on every operand: those it can't read are copied first. What is chosen depends on layouts only."""
    del attrs
    refuse_stored(ins)
    a, b = ins
    if out.dtype.kind != "f" or not out.size or not a.size:
        return partial(np.matmul, a, b, out)
    if _readable(a) and _readable(b):
        return _product(a, b, out)

    def run() -> None:
        _product(_packed(a), _packed(b), out)()

    return run


def _product(a: Array, b: Array, out: Array) -> Thunk:
    """np.dot where it applies: half the overhead of matmul, and one product instead of one an example."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if prod(b.shape[:-2]) == 1 and a.flags.c_contiguous:
        a, b, out = a.reshape(-1, k), b.reshape(k, n), out.reshape(-1, n)
    elif prod(out.shape[:-2]) == 1:
        a, b, out = a.reshape(m, k), b.reshape(k, n), out.reshape(m, n)
    if a.ndim == 2 and b.ndim == 2 and _whole(a) and _whole(b):
        return partial(np.dot, a, b, out)
    return partial(np.matmul, a, b, out)


def _whole(x: Array) -> bool:
    return bool(x.flags.c_contiguous or x.flags.f_contiguous)


def _readable(x: Array) -> bool:
    """Whether BLAS can read each matrix in place: one axis with unit stride, the other beyond its end."""
    rows, columns = x.shape[-2:]
    down, right = x.strides[-2:]
    size = x.itemsize
    by_rows = right == size and down >= columns * size
    by_columns = down == size and right >= rows * size
    return (by_rows or by_columns) and down % size == 0 and right % size == 0


def _distinct(x: Array) -> Array:
    """x with every leading axis that only repeats cut to length 1."""
    return x[tuple(slice(0, 1) if s == 0 else slice(None) for s in x.strides[:-2])]


def _packed(x: Array) -> Array:
    """x as BLAS reads it; repeated matrices are copied once."""
    if _readable(x):
        return x
    return np.broadcast_to(np.ascontiguousarray(_distinct(x)), x.shape)


def _workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del attrs
    a, b = inputs
    if a.dtype.kind != "f" or not a.size or not b.size:
        return 0
    del out
    return sum(0 if _readable(x) else _distinct(x).size * x.itemsize for x in (a, b))


def _cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    del attrs
    return 2 * out.size * inputs[0].dims[-1]


def _vjp(ct: Expr, out: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    # y = a b:  a_ct = ct b^T,  b_ct = a^T ct
    del out
    return ct @ b.mT, _right_ct(ct, a, b)


def _right_ct(ct: Expr, a: Expr, b: Expr) -> Expr:
    """a^T ct, where b is one matrix for every example as one product of tall matrices.

    Otherwise a product an example would be formed and then summed: as many times the memory.
    """
    lead = a.shape[:-1]
    batched = [axis for axis, dim in enumerate(lead) if isinstance(dim, BatchDim)]
    # Rows can be joined into one axis if it is N-fold as a whole: N first and nowhere else.
    if b.aval.rank == 2 and a.aval.rank > 2 and ct.shape[:-1] == lead and batched in ([], [0]):
        rows = prod(dim.k if isinstance(dim, BatchDim) else dim for dim in lead)
        joined = BatchDim(rows) if batched and rows else rows
        flat_a, flat_ct = reshape(a, (joined, a.shape[-1])), reshape(ct, (joined, ct.shape[-1]))
        return flat_a.mT @ flat_ct
    return a.mT @ ct


def _jvp(tangents: Tangents, out: Expr, a: Expr, b: Expr) -> Expr | None:
    # y_t = a_t b + a b_t
    a_t, b_t = tangents
    terms = [] if a_t is None else [a_t @ b]
    if b_t is not None:
        terms.append(a @ b_t)
    return total(terms, out)


CONTRACTION = (
    Op(
        "MatMul",
        _bind,
        _vjp,
        _jvp,
        _cost,
        _workspace,
        linear=((0,), (1,)),
        batching=lanes.broadcasting("MatMul", kept=2),
    ),
)
