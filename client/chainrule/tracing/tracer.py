"""The value that NumPy code computes with while its graph is recorded.

A Tracer has a dtype and a shape of plain integers, and no numbers. NumPy hands it every function and operator
through its two protocols; what would need the numbers is refused at the user's line with the cure.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.tracing.refusals import hole, refuse
from chainrule.tracing.registry import (
    METHODS,
    function_handler,
    reduction_handler,
    ufunc_handler,
)
from chainrule.tracing.tape import Tape

# Unpacking a stack of layers is ordinary; a longer leading axis is data, to be computed with whole.
_MAX_UNPACKED = 64


class _Operators:
    """Python's operators: each is the ufunc that NumPy would call."""

    __slots__ = ()
    __array_priority__ = 1000

    def __add__(self, other: Any) -> Any:
        return ufunc_handler("add")(self, other)

    def __radd__(self, other: Any) -> Any:
        return ufunc_handler("add")(other, self)

    def __sub__(self, other: Any) -> Any:
        return ufunc_handler("subtract")(self, other)

    def __rsub__(self, other: Any) -> Any:
        return ufunc_handler("subtract")(other, self)

    def __mul__(self, other: Any) -> Any:
        return ufunc_handler("multiply")(self, other)

    def __rmul__(self, other: Any) -> Any:
        return ufunc_handler("multiply")(other, self)

    def __truediv__(self, other: Any) -> Any:
        return ufunc_handler("divide")(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return ufunc_handler("divide")(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return ufunc_handler("floor_divide")(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return ufunc_handler("floor_divide")(other, self)

    def __mod__(self, other: Any) -> Any:
        return ufunc_handler("remainder")(self, other)

    def __rmod__(self, other: Any) -> Any:
        return ufunc_handler("remainder")(other, self)

    def __pow__(self, other: Any) -> Any:
        return ufunc_handler("power")(self, other)

    def __rpow__(self, other: Any) -> Any:
        return ufunc_handler("power")(other, self)

    def __matmul__(self, other: Any) -> Any:
        return ufunc_handler("matmul")(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return ufunc_handler("matmul")(other, self)

    def __and__(self, other: Any) -> Any:
        return ufunc_handler("bitwise_and")(self, other)

    def __rand__(self, other: Any) -> Any:
        return ufunc_handler("bitwise_and")(other, self)

    def __or__(self, other: Any) -> Any:
        return ufunc_handler("bitwise_or")(self, other)

    def __ror__(self, other: Any) -> Any:
        return ufunc_handler("bitwise_or")(other, self)

    def __xor__(self, other: Any) -> Any:
        return ufunc_handler("bitwise_xor")(self, other)

    def __rxor__(self, other: Any) -> Any:
        return ufunc_handler("bitwise_xor")(other, self)

    def __lshift__(self, other: Any) -> Any:
        return ufunc_handler("left_shift")(self, other)

    def __rlshift__(self, other: Any) -> Any:
        return ufunc_handler("left_shift")(other, self)

    def __rshift__(self, other: Any) -> Any:
        return ufunc_handler("right_shift")(self, other)

    def __rrshift__(self, other: Any) -> Any:
        return ufunc_handler("right_shift")(other, self)

    def __invert__(self) -> Any:
        return ufunc_handler("invert")(self)

    def __neg__(self) -> Any:
        return ufunc_handler("negative")(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return ufunc_handler("absolute")(self)

    def __lt__(self, other: Any) -> Any:
        return ufunc_handler("less")(self, other)

    def __le__(self, other: Any) -> Any:
        return ufunc_handler("less_equal")(self, other)

    def __gt__(self, other: Any) -> Any:
        return ufunc_handler("greater")(self, other)

    def __ge__(self, other: Any) -> Any:
        return ufunc_handler("greater_equal")(self, other)

    def __eq__(self, other: object) -> Any:
        return ufunc_handler("equal")(self, other)

    def __ne__(self, other: object) -> Any:
        return ufunc_handler("not_equal")(self, other)

    __hash__ = object.__hash__


class _Holes:
    """Hooks that would need the numbers."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise hole("__bool__")

    def __float__(self) -> float:
        raise hole("__float__")

    def __int__(self) -> int:
        raise hole("__int__")

    def __complex__(self) -> complex:
        raise hole("__complex__")

    def __index__(self) -> int:
        raise hole("__index__")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise hole("__array__")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise hole("__setitem__")

    def __delitem__(self, index: Any) -> None:
        raise hole("__delitem__")

    def __contains__(self, value: Any) -> bool:
        raise hole("__contains__")

    def item(self, *args: Any) -> Any:
        """Refused: there is no number yet."""
        raise hole("item")

    def tolist(self) -> Any:
        """Refused: there is no number yet."""
        raise hole("tolist")


class Tracer(_Operators, _Holes):
    """A value of the function that is being traced.

    Attributes:
        tape, row: where it is recorded.
        aval: its dtype and shape.
        weak: whether only scalars decided its dtype, so that it takes the dtype of arrays it meets.
    """

    __slots__ = ("aval", "row", "tape", "weak")

    def __init__(self, tape: Tape, row: int, weak: bool = False) -> None:
        self.tape = tape
        self.row = row
        self.aval: Aval = tape.rows[row].aval
        self.weak = weak

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; a batch axis has the size of the batch that is traced."""
        return self.aval.dims

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its NumPy dtype."""
        return self.aval.dtype.numpy

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.aval.rank

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.aval.size

    @property
    def nbytes(self) -> int:
        """Bytes of the value."""
        return self.aval.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.aval.dtype.itemsize

    @property
    def real(self) -> "Tracer":
        """Itself: there are no complex values."""
        return self

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return function_handler(np.transpose)(self)

    @property
    def mT(self) -> Any:
        """The last two axes exchanged."""
        return function_handler(np.swapaxes)(self, -1, -2)

    def __len__(self) -> int:
        if not self.aval.rank:
            raise TypeError("len() of a traced value without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.aval.rank:
            raise TypeError("iteration over a traced value without axes")
        length, n = self.shape[0], self.tape.n
        if n is not None and length % n == 0 and length:
            raise refuse(
                "a loop over the batch can't be traced: its length is not fixed",
                "compute with the whole batch at once (axis=0)",
            )
        if length > _MAX_UNPACKED:
            raise refuse(
                f"a loop over an axis of {length} would repeat its body {length} times in the graph",
                "compute with the whole axis at once, or loop over range(n) and index, if it must be",
            )
        return iter([self[i] for i in range(length)])

    def __getitem__(self, index: Any) -> Any:
        try:
            return METHODS["__getitem__"](self, index)
        except ValueError as error:
            raise refuse(f"an index of {self.aval}: {error}", "give shapes that fit") from error

    def __repr__(self) -> str:
        return f"Tracer({self.aval})"

    def __format__(self, spec: str) -> str:
        if spec:
            raise hole("item")
        return repr(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__
        _refuse_out(name, options.pop("out", None))
        if method == "__call__":
            return call_ufunc(name, inputs, options)
        if method == "reduce":
            return reduction_handler(name)(*inputs, **options)
        if method == "outer":
            a, b = inputs
            a = function_handler(np.reshape)(a, (*np.shape(a), *(1,) * np.ndim(b)))
            return call_ufunc(name, (a, b), options)
        raise refuse(
            f"np.{name}.{method} can't be traced",
            "use np.where, cr.nn.one_hot or a matrix product instead of writing in place"
            if method == "at"
            else "write it with whole-array functions",
        )

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        handler = function_handler(function)
        _refuse_out(function.__name__, kwargs.pop("out", None))
        try:
            return handler(*args, **kwargs)
        except TypeError as error:
            # Our signatures hold the options that trace; Python's own text names the one that doesn't.
            raise refuse(f"np.{function.__name__}: {error}", "leave out that option") from error
        except ValueError as error:
            raise refuse(f"np.{function.__name__}: {error}", "give shapes that fit") from error

    def __getattr__(self, name: str) -> Any:
        method = METHODS.get(name)
        if method is not None:
            return method.__get__(self)
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a traced value has no attribute {name!r}")
        raise refuse(
            f"ndarray.{name} can't be traced",
            f"use np.{name} if there is one, or whole-array functions",
        )


def call_ufunc(name: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """One elementwise ufunc with NumPy's options."""
    if options.pop("where", True) is not True:
        raise refuse(f"np.{name} with where= can't be traced", "write np.where(mask, value, other)")
    dtype = options.pop("dtype", None)
    for harmless in ("casting", "order", "subok", "axis", "axes", "signature"):
        if options.pop(harmless, None) is not None and harmless in ("axis", "axes", "signature"):
            raise refuse(f"np.{name} with {harmless}= can't be traced", "move the axes before")
    result = ufunc_handler(name)(*inputs, **options)
    return result if dtype is None else result.astype(dtype)


def _refuse_out(name: str, out: Any) -> None:
    targets = out if isinstance(out, tuple) else (out,)
    if any(target is not None for target in targets):
        raise refuse(
            f"np.{name} would write a traced value into an array (out=, or c += t with a plain array c)",
            "make a new value: c = c + t",
        )
