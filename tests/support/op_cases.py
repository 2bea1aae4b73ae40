"""THE op table: one row a primitive, with what its tests need to know of it.

A row gives the value in NumPy, shapes that cover {0-d, size 1, empty, broadcast}, the domain, attributes,
an oracle for derivatives that owes nothing to our rules, and special points with their closed forms. The
tests cross every row with layouts (contiguous, transposed, strided, flipped, repeated) and dtypes.
"""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import DType
from support import references
from support.op_cases_arrays import ARRAY_ROWS
from support.op_cases_linalg import LINALG_ROWS
from support.op_cases_special import SPECIAL_ROWS
from support.op_row import (
    BOOL,
    FLOAT,
    INF,
    NUMBER,
    ONE,
    POSITIVE,
    SAFE,
    THREE,
    TWO,
    Attrs,
    Draw,
    Point,
    Row,
    Sample,
)


def _unary(
    op: str,
    value: Callable[..., Any],
    exact: Callable[..., Any],
    *points: Point,
    draw: Draw = FLOAT,
    attrs: Attrs | None = None,
    integer: bool = False,
    tolerance: float = 1e-13,
) -> Row:
    samples = tuple(Sample(shapes, attrs or {}) for shapes, _ in ONE)
    return Row(
        op, value, samples, (draw,), "mpmath", exact, points, tolerance=tolerance, integer=integer
    )


def _at(x: float, first: float, second: float, **attrs: AttrValue) -> Point:
    return Point((x,), (first,), ((second,),), attrs)


def _binary(
    op: str,
    value: Callable[..., Any],
    exact: Callable[..., Any],
    *points: Point,
    draws: tuple[Draw, Draw] = (FLOAT, FLOAT),
    integer: bool = True,
    tolerance: float = 1e-13,
) -> Row:
    return Row(op, value, TWO, draws, "mpmath", exact, points, tolerance=tolerance, integer=integer)


_FLAT = ((0.0, 0.0), (0.0, 0.0))
_TIE = Point((1.5, 1.5), (0.5, 0.5), _FLAT)

_ELEMENTWISE = (
    _unary("Neg", np.negative, lambda x: -x, _at(0.0, -1.0, 0.0), integer=True),
    _unary("Abs", np.abs, abs, _at(0.0, 0.0, 0.0), _at(-2.0, -1.0, 0.0), integer=True),
    _unary("Exp", np.exp, mpmath.exp, _at(0.0, 1.0, 1.0), _at(-1000.0, 0.0, 0.0)),
    _unary(
        "Expm1", np.expm1, mpmath.expm1, _at(0.0, 1.0, 1.0), _at(-30.0, np.exp(-30), np.exp(-30))
    ),
    _unary("Log", np.log, mpmath.log, _at(1.0, 1.0, -1.0), _at(0.0, INF, -INF), draw=POSITIVE),
    _unary("Log1p", np.log1p, mpmath.log1p, _at(0.0, 1.0, -1.0), draw=Draw(low=-0.7, high=3.0)),
    _unary(
        "Sqrt", np.sqrt, mpmath.sqrt, _at(4.0, 0.25, -1 / 32), _at(0.0, INF, -INF), draw=POSITIVE
    ),
    _unary("Sin", np.sin, mpmath.sin, _at(0.0, 1.0, 0.0)),
    _unary("Cos", np.cos, mpmath.cos, _at(0.0, 0.0, -1.0)),
    _unary("Tanh", np.tanh, mpmath.tanh, _at(0.0, 1.0, 0.0), _at(1000.0, 0.0, 0.0)),
    _binary(
        "Atan2",
        np.arctan2,
        mpmath.atan2,
        Point((0.0, 1.0), (1.0, 0.0), ((0.0, -1.0), (-1.0, 0.0))),
        Point((1.0, 1.0), (0.5, -0.5), ((-0.5, 0.0), (0.0, 0.5))),
        # on the cut the angle jumps from pi to -pi, its derivative doesn't; in the middle it has no limit
        Point((0.0, -1.0), (-1.0, 0.0), ((0.0, -1.0), (-1.0, 0.0))),
        Point((0.0, 0.0), (0.0, 0.0), _FLAT),
        draws=(SAFE, SAFE),
        integer=False,
    ),
    Row(
        "IntPow",
        lambda x, n: np.power(x, n),
        (
            *(Sample(shapes, {"n": 2}) for shapes, _ in ONE),
            *(Sample(((2, 3),), {"n": n}) for n in (-3, -1, 0, 1, 3, 4, 5, 7, 16, 17)),
        ),
        (SAFE,),
        "mpmath",
        lambda x, n: x**n,
        (
            _at(0.0, 0.0, 0.0, n=0),
            _at(0.0, 1.0, 0.0, n=1),
            _at(0.0, 0.0, 2.0, n=2),
            _at(0.0, 0.0, 0.0, n=3),
            _at(-2.0, 12.0, -12.0, n=3),
            _at(0.0, -INF, INF, n=-1),
        ),
    ),
    _binary("Add", np.add, lambda a, b: a + b, Point((0.0, 0.0), (1.0, 1.0), _FLAT)),
    _binary("Sub", np.subtract, lambda a, b: a - b, Point((0.0, 0.0), (1.0, -1.0), _FLAT)),
    _binary(
        "Mul",
        np.multiply,
        lambda a, b: a * b,
        Point((0.0, 0.0), (0.0, 0.0), ((0.0, 1.0), (1.0, 0.0))),
    ),
    _binary(
        "Div",
        np.divide,
        lambda a, b: a / b,
        Point((0.0, 2.0), (0.5, 0.0), ((0.0, -0.25), (-0.25, 0.0))),
        draws=(FLOAT, SAFE),
        integer=False,
    ),
    _binary(
        "Pow",
        np.power,
        lambda x, y: x**y,
        Point((0.0, 0.0), (0.0, 0.0), _FLAT),
        Point((0.0, 2.0), (0.0, 0.0), ((2.0, 0.0), (0.0, 0.0))),
        Point((2.0, 0.0), (0.0, np.log(2)), ((0.0, 0.5), (0.5, np.log(2) ** 2))),
        draws=(SAFE, FLOAT),
        integer=False,
        tolerance=1e-12,
    ),
    _binary("Max", np.maximum, lambda x, y: max(x, y), _TIE, Point((0.0, 0.0), (0.5, 0.5), _FLAT)),
    _binary("Min", np.minimum, lambda x, y: min(x, y), _TIE, Point((1.0, 2.0), (1.0, 0.0), _FLAT)),
    Row(
        "Where",
        np.where,
        THREE,
        (BOOL, FLOAT, FLOAT),
        "mpmath",
        lambda c, a, b: a if c else b,
        integer=True,
    ),
    Row(
        "Cast",
        lambda x, dtype: x.astype(dtype.numpy),
        (
            *(Sample(shapes, {"dtype": DType.FLOAT64}) for shapes, _ in ONE),
            Sample(((2, 3),), {"dtype": DType.FLOAT32}),
        ),
        (FLOAT,),
        "mpmath",
        lambda x, dtype: x,
        integer=True,
        tolerance=1e-6,
    ),
)


def _question(op: str, value: Callable[..., Any], *draws: Draw, integer: bool = True) -> Row:
    samples = ONE if len(draws) == 1 else TWO
    return Row(op, value, samples, draws, integer=integer)


_INTEGERS = (DType.INT64, DType.INT32, DType.UINT32, DType.UINT8)
_BITS = Draw("bits", 0, 100)

_WITHOUT_DERIVATIVE = (
    _question("Sign", np.sign, NUMBER),
    _question("Floor", np.floor, FLOAT, integer=False),
    _question("Round", np.round, Draw(low=-3.0, high=3.0), integer=False),
    _question("Less", np.less, NUMBER, NUMBER),
    _question("Equal", np.equal, NUMBER, NUMBER),
    _question("IsFinite", np.isfinite, FLOAT, integer=False),
    Row("And", np.bitwise_and, TWO, (_BITS, _BITS), dtypes=(DType.BOOL, *_INTEGERS)),
    Row("Or", np.bitwise_or, TWO, (_BITS, _BITS), dtypes=(DType.BOOL, *_INTEGERS)),
    Row("Xor", np.bitwise_xor, TWO, (_BITS, _BITS), dtypes=(DType.BOOL, *_INTEGERS)),
    Row("Not", np.logical_not, ONE, (BOOL,), dtypes=(DType.BOOL,)),
    Row(
        "IntDiv",
        np.floor_divide,
        TWO,
        (Draw("bits", 0, 100), Draw("bits", 1, 9)),
        dtypes=_INTEGERS,
    ),
    Row("Mod", np.remainder, TWO, (Draw("bits", 0, 100), Draw("bits", 1, 9)), dtypes=_INTEGERS),
    Row(
        "ArgMax",
        lambda x, axis: np.argmax(x, axis),
        tuple(
            Sample((shape,), {"axis": axis})
            for shape, axis in (((1,), 0), ((5,), -1), ((2, 3), 0), ((2, 3), 1), ((0, 3), 1))
        ),
        (NUMBER,),
        integer=True,
    ),
    Row(
        "RandomBits",
        references.random_bits,
        tuple(Sample(((2,), shape), {"stream": 5}) for shape in ((), (1,), (0, 3), (7,), (2, 3))),
        (Draw("key"), Draw("int64", -5, 40)),
        dtypes=(DType.UINT32,),
    ),
)

# Leaves have no inputs: their values are the plan's, and tested there.
LEAVES = ("Constant", "Iota", "DimSize")

ROWS: tuple[Row, ...] = (
    *_ELEMENTWISE,
    *SPECIAL_ROWS,
    *_WITHOUT_DERIVATIVE,
    *ARRAY_ROWS,
    *LINALG_ROWS,
)
CASES: dict[str, Row] = {row.op: row for row in ROWS}
