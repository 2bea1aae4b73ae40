"""What a row of the op table is made of: shapes, domains, special points, and how derivatives are checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import DType

Array = NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]
Attrs = dict[str, AttrValue]
INF = float("inf")
LAYOUTS = ("contiguous", "transposed", "strided", "flipped", "repeated")
NO_ATTRS: Attrs = {}


class Sample(NamedTuple):
    """Shapes of the inputs, and the attributes that go with them."""

    shapes: Shapes
    attrs: Attrs = NO_ATTRS


class Point(NamedTuple):
    """A tie, a kink or a zero: scalar inputs, first partials, second partials row by row."""

    at: tuple[float, ...]
    first: tuple[float, ...]
    second: tuple[tuple[float, ...], ...]
    attrs: Attrs = NO_ATTRS


@dataclass(frozen=True, slots=True)
class Draw:
    """How an input is drawn. `float`: in the row's float dtype; the others have their own.

    Matrices: `positive-definite`; `dominant`, far from singular, also in its triangles; `apart`, with
    distinct eigenvalues and singular values. `low`, `high`: the range; integers include `low` only.
    """

    kind: Literal[
        "float",
        "number",
        "int64",
        "bool",
        "bits",
        "key",
        "positive-definite",
        "dominant",
        "apart",
    ] = "float"
    low: float = -2.0
    high: float = 2.0


@dataclass(frozen=True, slots=True)
class Row:
    """What the tests know of one primitive.

    Attributes:
        op: its name.
        value: (*arrays, **attrs) -> array, in NumPy.
        samples: shapes and attributes.
        draws: one an input; a variadic op repeats the last.
        oracle: how first and second derivatives are had without our rules: `mpmath` (differentiates
            `exact` to 50 digits, elementwise), `polynomial` (complex step of `value`, of degree <= 2, where
            a difference of first derivatives is exact), `array` (`exact` of arrays of mpmath's numbers,
            whose differences at a step of 1e-12 are right to 20 digits), `max` (closed form), or none: no
            derivative.
        exact: the function in mpmath.
        points: special points.
        tolerance: relative, float64, of value and derivatives against the oracle.
        dtypes: those that the values are compared in.
        integer: whether values are compared for int64 and int32 too.
        absolute: tolerance of values that cancel, in float64.
        third: relative tolerance of third derivatives.
        single: relative tolerance of float32 against float64.
        layouts: those that the values are compared in.
        affordable: which samples the oracle can be asked for; by default all.
    """

    op: str
    value: Callable[..., Any]
    samples: tuple[Sample, ...]
    draws: tuple[Draw, ...]
    oracle: Literal["mpmath", "polynomial", "array", "max", "none"] = "none"
    exact: Callable[..., Any] | None = None
    points: tuple[Point, ...] = ()
    tolerance: float = 1e-13
    dtypes: tuple[DType, ...] = (DType.FLOAT64, DType.FLOAT32)
    integer: bool = False
    absolute: float = 0.0
    third: float = 1e-11
    single: float = 5e-5
    layouts: tuple[str, ...] = LAYOUTS
    affordable: Callable[[Sample], bool] | None = None


FLOAT = Draw()
POSITIVE = Draw(low=0.1, high=3.0)
# Away from 0 and from 1, where every power and quotient is tame
SAFE = Draw(low=0.5, high=2.5)
NUMBER = Draw("number", -6, 7)
BOOL = Draw("bool")

ONE = tuple(Sample((shape,)) for shape in ((), (1,), (0, 3), (2, 3), (2, 1, 4)))
TWO = tuple(
    Sample(shapes)
    for shapes in (
        ((), ()),
        ((1,), ()),
        ((2, 3), (2, 3)),
        ((2, 3), (3,)),
        ((), (2, 3)),
        ((2, 1), (1, 3)),
        ((0, 3), (3,)),
        ((4, 1, 3), (2, 1)),
    )
)
THREE = tuple(
    Sample(shapes)
    for shapes in (
        ((), (), ()),
        ((2, 3), (2, 3), (2, 3)),
        ((2, 1), (3,), ()),
        ((3,), (2, 1), (2, 3)),
        ((), (2, 3), (3,)),
        ((0, 3), (3,), (1, 3)),
    )
)
