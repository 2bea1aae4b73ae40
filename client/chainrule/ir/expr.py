"""Expressions over a builder, so that a rule reads as its equation.

`Expr` is a handle on a row with Python's operators; the functions below are the primitives under their
mathematical names. A Python number takes the dtype of the other side and stays 0-d.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval, Dim, DType, Shape

if TYPE_CHECKING:
    from chainrule.ir.builder import Builder

Number = int | float | bool


class Expr:
    """A value of the function under construction."""

    __slots__ = ("b", "id")

    def __init__(self, b: "Builder", id: int) -> None:
        self.b = b
        self.id = id

    @property
    def aval(self) -> Aval:
        """dtype and shape."""
        return self.b.aval(self.id)

    @property
    def shape(self) -> Shape:
        """Its shape, which may hold k*N."""
        return self.aval.shape

    @property
    def dtype(self) -> DType:
        """Its dtype."""
        return self.aval.dtype

    def like(self, value: Number) -> "Expr":
        """A 0-d constant of this dtype."""
        return Expr(self.b, self.b.constant(value, self.dtype))

    def __add__(self, other: "Expr | Number") -> "Expr":
        return apply("Add", self, self._lift(other))

    def __radd__(self, other: Number) -> "Expr":
        return apply("Add", self.like(other), self)

    def __sub__(self, other: "Expr | Number") -> "Expr":
        return apply("Sub", self, self._lift(other))

    def __rsub__(self, other: Number) -> "Expr":
        return apply("Sub", self.like(other), self)

    def __mul__(self, other: "Expr | Number") -> "Expr":
        return apply("Mul", self, self._lift(other))

    def __rmul__(self, other: Number) -> "Expr":
        return apply("Mul", self.like(other), self)

    def __truediv__(self, other: "Expr | Number") -> "Expr":
        return apply("Div", self, self._lift(other))

    def __rtruediv__(self, other: Number) -> "Expr":
        return apply("Div", self.like(other), self)

    def __pow__(self, n: int) -> "Expr":
        return apply("IntPow", self, n=n)

    def __matmul__(self, other: "Expr") -> "Expr":
        return apply("MatMul", self, other)

    def __neg__(self) -> "Expr":
        return apply("Neg", self)

    def __abs__(self) -> "Expr":
        return apply("Abs", self)

    def _lift(self, other: "Expr | Number") -> "Expr":
        return other if isinstance(other, Expr) else self.like(other)

    @property
    def mT(self) -> "Expr":
        """The last two axes exchanged."""
        rank = self.aval.rank
        return transpose(self, (*range(rank - 2), rank - 1, rank - 2))


def apply(op: str, *inputs: Expr, **attrs: AttrValue) -> Expr:
    """One node with one output."""
    return Expr(inputs[0].b, inputs[0].b.add(op, *(x.id for x in inputs), **attrs))


def exp(x: Expr) -> Expr:
    """e^x."""
    return apply("Exp", x)


def expm1(x: Expr) -> Expr:
    """e^x - 1."""
    return apply("Expm1", x)


def log(x: Expr) -> Expr:
    """The natural logarithm."""
    return apply("Log", x)


def log1p(x: Expr) -> Expr:
    """log(1 + x)."""
    return apply("Log1p", x)


def sqrt(x: Expr) -> Expr:
    """The square root."""
    return apply("Sqrt", x)


def sin(x: Expr) -> Expr:
    """The sine."""
    return apply("Sin", x)


def cos(x: Expr) -> Expr:
    """The cosine."""
    return apply("Cos", x)


def tanh(x: Expr) -> Expr:
    """The hyperbolic tangent."""
    return apply("Tanh", x)


def atan2(y: Expr, x: Expr) -> Expr:
    """The angle of the point (x, y)."""
    return apply("Atan2", y, x)


def erf(x: Expr) -> Expr:
    """The error function."""
    return apply("Erf", x)


def erf_inv(x: Expr) -> Expr:
    """The inverse of the error function."""
    return apply("ErfInv", x)


def lgamma(x: Expr) -> Expr:
    """log |Gamma(x)|."""
    return apply("Lgamma", x)


def polygamma(n: int, x: Expr) -> Expr:
    """The n-th derivative of the digamma function, which is n = 0."""
    return apply("Polygamma", x, n=n)


def sign(x: Expr) -> Expr:
    """-1, 0 or 1."""
    return apply("Sign", x)


def power(x: Expr, y: Expr) -> Expr:
    """x^y."""
    return apply("Pow", x, y)


def maximum(x: Expr, y: Expr) -> Expr:
    """The larger."""
    return apply("Max", x, y)


def minimum(x: Expr, y: Expr) -> Expr:
    """The smaller."""
    return apply("Min", x, y)


def less(x: Expr, y: Expr) -> Expr:
    """x < y, a bool."""
    return apply("Less", x, y)


def equal(x: Expr, y: Expr) -> Expr:
    """x == y, a bool."""
    return apply("Equal", x, y)


def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """x where the condition holds, else y."""
    return apply("Where", condition, x, y)


def cast(x: Expr, dtype: DType) -> Expr:
    """x in another dtype; x itself where it has it."""
    return x if x.dtype is dtype else apply("Cast", x, dtype=dtype)


def stop_gradient(x: Expr) -> Expr:
    """x, with derivative zero."""
    return apply("StopGradient", x)


def zeros(b: "Builder", aval: Aval) -> Expr:
    """A filled array of zeros."""
    return Expr(b, b.constant(0, aval.dtype, aval.shape))


def ones(b: "Builder", aval: Aval) -> Expr:
    """A filled array of ones."""
    return Expr(b, b.constant(1, aval.dtype, aval.shape))


def reshape(x: Expr, shape: Shape) -> Expr:
    """The same elements in C order; x itself where the shape is its own."""
    return x if x.shape == tuple(shape) else apply("Reshape", x, shape=tuple(shape))


def transpose(x: Expr, perm: Sequence[int]) -> Expr:
    """Axes in another order."""
    return (
        x if tuple(perm) == tuple(range(x.aval.rank)) else apply("Transpose", x, perm=tuple(perm))
    )


def expand(x: Expr, shape: Shape) -> Expr:
    """x broadcast to exactly this shape."""
    return x if x.shape == tuple(shape) else apply("Expand", x, shape=tuple(shape))


def slice_(x: Expr, starts: Sequence[Dim], stops: Sequence[Dim], steps: Sequence[int]) -> Expr:
    """A strided box."""
    return apply("Slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))


def pad(x: Expr, low: Sequence[Dim], high: Sequence[Dim], interior: Sequence[int]) -> Expr:
    """Zeros before, behind and between; negative low or high cut."""
    return apply("Pad", x, low=tuple(low), high=tuple(high), interior=tuple(interior))


def concat(xs: Sequence[Expr], axis: int) -> Expr:
    """One after the other along an axis."""
    return apply("Concat", *xs, axis=axis)


def reduce_sum(x: Expr, axes: Sequence[int], keepdims: bool = False) -> Expr:
    """The sum over axes; x itself where there are none."""
    return apply("ReduceSum", x, axes=tuple(axes), keepdims=keepdims) if axes else x


def reduce_max(x: Expr, axes: Sequence[int], keepdims: bool = False) -> Expr:
    """The largest over axes; x itself where there are none."""
    return apply("ReduceMax", x, axes=tuple(axes), keepdims=keepdims) if axes else x


def gather(table: Expr, index: Expr, axis: int, batch_dims: int = 0) -> Expr:
    """Rows of a table along an axis."""
    return apply("Gather", table, index, axis=axis, batch_dims=batch_dims)


def scatter_add(index: Expr, updates: Expr, axis: int, size: Dim, batch_dims: int = 0) -> Expr:
    """The transpose of `gather`: rows added into zeros."""
    return apply("ScatterAdd", index, updates, axis=axis, batch_dims=batch_dims, size=(size,))


def arg_sort(x: Expr, axis: int) -> Expr:
    """The indices that put an axis in ascending order; stable, NaN last."""
    return apply("ArgSort", x, axis=axis)


def cum_sum(x: Expr, axis: int, reverse: bool = False, exclusive: bool = False) -> Expr:
    """Running sums along an axis."""
    return apply("CumSum", x, axis=axis, reverse=reverse, exclusive=exclusive)


def unfold(
    x: Expr,
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Expr:
    """Sliding windows; the elements of a window are new axes at the end."""
    window = (("axes", axes), ("sizes", sizes), ("strides", strides), ("dilations", dilations))
    return apply("Unfold", x, **{name: tuple(values) for name, values in window})


def dft(x: Expr, axes: Sequence[int], inverse: bool = False) -> Expr:
    """Fourier sums along axes; the last axis holds real and imaginary part. Nothing is divided by n."""
    return apply("Dft", x, axes=tuple(axes), inverse=inverse)
