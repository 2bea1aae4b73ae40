"""Rows of the op table for linear algebra, and for ops along axes: orders, sums, windows, transforms."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support import references_linalg as exact
from support.op_row import FLOAT, NUMBER, Draw, Row, Sample

Array = NDArray[Any]
_MATRIX = ("contiguous", "transposed", "strided", "flipped")
_SPD = Draw("positive-definite")
_SAFE = Draw("dominant")
_SYSTEMS = (
    ((1, 1), (1, 1)),
    ((3, 3), (3, 2)),
    ((0, 0), (0, 2)),
    ((3, 3), (3, 0)),
    ((2, 3, 3), (2, 3, 1)),
    ((3, 3), (2, 3, 2)),
    ((2, 1, 2, 2), (3, 2, 2)),
    ((40, 40), (40, 2)),
)


def _small(sample: Sample) -> bool:
    """What an oracle of 50 digits can afford."""
    return max((d for s in sample.shapes for d in s), default=0) <= 8


def _eigh(a: Array) -> Array:
    w, v = np.linalg.eigh((a + np.swapaxes(a, -1, -2)) / 2)
    return np.concatenate([w[..., None, :], v], -2)


def _qr(a: Array) -> Array:
    q, r = np.linalg.qr(a)
    return np.concatenate([q, np.swapaxes(r, -1, -2)], -2)


def _svd(a: Array) -> Array:
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, s[..., None, :], np.swapaxes(vh, -1, -2)], -2)


def _matrix(
    op: str,
    value: Callable[..., Any],
    definition: Callable[..., Any],
    shapes: tuple[tuple[int, ...], ...],
    draw: Draw,
    **fields: Any,
) -> Row:
    samples = tuple(Sample((shape,)) for shape in shapes)
    return Row(op, value, samples, (draw,), "array", definition, layouts=_MATRIX, **fields)


_SQUARE = ((1, 1), (3, 3), (0, 0), (2, 3, 3), (0, 2, 2), (2, 1, 2, 2))

_LINALG = (
    _matrix(
        "Cholesky",
        lambda a: np.linalg.cholesky((a + np.swapaxes(a, -1, -2)) / 2),
        exact.cholesky,
        _SQUARE,
        _SPD,
        tolerance=1e-12,
    ),
    Row(
        "TriangularSolve",
        lambda a, b, lower, transpose, unit: exact.triangular_solve(
            a, b, lower=lower, transpose=transpose, unit=unit
        ),
        tuple(
            Sample(shapes, {"lower": lower, "transpose": transpose, "unit": unit})
            for lower in (True, False)
            for transpose in (True, False)
            for unit in (False, True)
            for shapes in (_SYSTEMS if lower and not unit else _SYSTEMS[1:2])
        ),
        (_SAFE, FLOAT),
        "array",
        exact.triangular_solve,
        tolerance=1e-12,
        layouts=_MATRIX,
        affordable=_small,
    ),
    Row(
        "Solve",
        lambda a, b: np.linalg.solve(*_stacks(a, b)),
        tuple(Sample(shapes) for shapes in _SYSTEMS),
        (_SAFE, FLOAT),
        "array",
        exact.solve,
        tolerance=1e-12,
        layouts=_MATRIX,
        affordable=_small,
    ),
    _matrix(
        "LogAbsDet",
        lambda a: np.stack(np.linalg.slogdet(a), -1),
        exact.log_abs_det,
        _SQUARE,
        _SAFE,
        tolerance=1e-12,
    ),
    _matrix(
        "Eigh", _eigh, exact.eigh, _SQUARE, Draw("apart"), tolerance=1e-11, third=1e-7, single=2e-2
    ),
    _matrix(
        "QR",
        _qr,
        exact.qr,
        ((1, 1), (3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 2, 2), (3, 0)),
        _SAFE,
        tolerance=1e-11,
        third=1e-7,
        single=2e-3,
    ),
    _matrix(
        "SVD",
        _svd,
        exact.svd,
        ((1, 1), (3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 2, 2), (3, 0)),
        Draw("apart"),
        tolerance=1e-11,
        third=1e-7,
        single=2e-2,
    ),
)


def _stacks(a: Array, b: Array) -> tuple[Array, Array]:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return np.broadcast_to(a, (*lead, *a.shape[-2:])), np.broadcast_to(b, (*lead, *b.shape[-2:]))


_WINDOWS = (
    ((5,), (0,), (2,), (1,), (1,)),
    ((7,), (0,), (2,), (3,), (2,)),
    ((1,), (0,), (1,), (1,), (1,)),
    ((2, 6, 5), (1, 2), (3, 2), (2, 1), (1, 2)),
    ((2, 6, 5), (-1,), (5,), (1,), (1,)),
    ((0, 4), (1,), (2,), (2,), (1,)),
    ((2, 3, 3, 4), (1, 3, 2), (2, 2, 3), (1, 2, 1), (1, 1, 1)),
    ((2, 3), (), (), (), ()),
)


def _window(case: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("axes", "sizes", "strides", "dilations"), case[1:], strict=True))


def _folded(case: tuple[Any, ...]) -> Sample:
    shape, axes = case[0], case[1]
    windows = exact.unfold(np.zeros(shape), **_window(case)).shape
    return Sample((windows,), {**_window(case), "lengths": tuple(shape[a] for a in axes)})


_ALONG = (
    Row(
        "ArgSort",
        lambda x, axis: np.argsort(x, axis, "stable"),
        tuple(
            Sample((shape,), {"axis": axis})
            for shape, axis in (((1,), 0), ((7,), -1), ((2, 9), 0), ((2, 9), 1), ((0, 3), 1))
        ),
        # few values, so that there are ties
        (Draw("number", -2, 3),),
        integer=True,
    ),
    Row(
        "CumSum",
        exact.cum_sum,
        tuple(
            Sample((shape,), {"axis": axis, "reverse": reverse, "exclusive": exclusive})
            for reverse in (False, True)
            for exclusive in (False, True)
            for shape, axis in (((1,), 0), ((5,), -1), ((2, 3), 0), ((2, 3, 2), 1), ((0, 3), 0))
        ),
        (NUMBER,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Unfold",
        exact.unfold,
        tuple(Sample((case[0],), _window(case)) for case in _WINDOWS),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Fold",
        exact.fold,
        tuple(_folded(case) for case in _WINDOWS),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Dft",
        exact.dft,
        tuple(
            Sample((shape,), {"axes": axes, "inverse": inverse})
            for inverse in (False, True)
            for shape, axes in (
                ((1, 2), (0,)),
                ((5, 2), (0,)),
                ((3, 4, 2), (0, 1)),
                ((3, 4, 2), (-2,)),
                ((0, 3, 2), (1,)),
                ((2,), ()),
            )
        ),
        (FLOAT,),
        "polynomial",
        tolerance=1e-12,
        absolute=1e-13,
    ),
)

LINALG_ROWS: tuple[Row, ...] = (*_LINALG, *_ALONG)
