"""The table of what can be traced: NumPy's function objects to ours. Families fill it with decorators."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from chainrule.ir.names import closest
from chainrule.tracing.refusals import refuse

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)

FUNCTIONS: dict[Any, Handler] = {}
UFUNCS: dict[str, Handler] = {}
METHODS: dict[str, Handler] = {}
REDUCTIONS: dict[str, Handler] = {}

# What to write where a function can't be traced for a reason.
_CURES = {
    "array_equal": "compare with == and np.all: the answer is an array",
    "allclose": "compare with np.abs(a - b) < tol and np.all",
    "nonzero": "use np.where(mask, a, b): the number of hits is not known while tracing",
    "argwhere": "use np.where(mask, a, b): the number of hits is not known while tracing",
    "unique": "the number of values is not known while tracing; do it before",
    "left_shift": "multiply by a power of two: x * 2**k",
    "right_shift": "divide by a power of two: x // 2**k",
    "put": "a traced value can't be written to; use np.where",
    "copyto": "np.full(shape, t) is np.broadcast_to(t, shape); other writes are np.where(mask, new, old)",
    "fill_diagonal": "a traced value can't be written to; use np.where(np.eye(n, dtype=bool), value, a)",
    "linalg.eig": "np.linalg.eigh is for symmetric matrices; complex results are not in v1",
    "linalg.eigvals": "np.linalg.eigvalsh is for symmetric matrices; complex results are not in v1",
    "linalg.lstsq": "np.linalg.solve(a.T @ a, a.T @ b), or np.linalg.qr",
    "linalg.matrix_rank": "a rank depends on the numbers; compute it before",
    **{
        f"fft.{name}": f"chainrule has no complex numbers; use cr.fft.{name}, whose last axis holds (re, im)"
        for name in ("fft", "ifft", "rfft", "irfft")
    },
    "save": "return the value from the function",
}


def implements(*functions: Any) -> Callable[[H], H]:
    """Enter a handler under NumPy's function objects."""

    def enter(handler: H) -> H:
        for function in functions:
            FUNCTIONS[function] = handler
        return handler

    return enter


def implements_ufunc(*names: str) -> Callable[[H], H]:
    """Enter a handler under the names of ufuncs; by name, so that scipy.special needs no import."""

    def enter(handler: H) -> H:
        for name in names:
            UFUNCS[name] = handler
        return handler

    return enter


def implements_reduction(*names: str) -> Callable[[H], H]:
    """Enter a handler under the names of ufuncs whose `.reduce` it is."""

    def enter(handler: H) -> H:
        for name in names:
            REDUCTIONS[name] = handler
        return handler

    return enter


def traced_names() -> tuple[str, ...]:
    """Every NumPy name that traces, sorted, `linalg.norm` written with its module."""
    names = {_name_of(f) for f in FUNCTIONS} | {u for u in UFUNCS if hasattr(np, u)}
    return tuple(sorted(names))


def _name_of(function: Any) -> str:
    module = str(getattr(function, "__module__", "")).removeprefix("numpy").lstrip(".")
    inner = module.split(".")[0]
    name = str(getattr(function, "__name__", function))
    if module == "lib.stride_tricks":
        return f"{module}.{name}"
    return f"{inner}.{name}" if inner in ("linalg", "fft", "random") else name


def function_handler(function: Any) -> Handler:
    """The handler of a NumPy function.

    Raises:
        TraceError: it is not in the table, with the nearest name that is.
    """
    found = FUNCTIONS.get(function)
    if found is None:
        raise _unknown(_name_of(function))
    return found


def ufunc_handler(name: str) -> Handler:
    """The handler of a ufunc.

    Raises:
        TraceError: it is not in the table, with the nearest name that is.
    """
    found = UFUNCS.get(name)
    if found is None:
        raise _unknown(name)
    return found


def reduction_handler(name: str) -> Handler:
    """The handler of a ufunc's `.reduce`.

    Raises:
        TraceError: it has none.
    """
    found = REDUCTIONS.get(name)
    if found is None:
        raise refuse(
            f"np.{name}.reduce can't be traced", "reduce with np.sum, np.max, np.min or np.prod"
        )
    return found


def _unknown(name: str) -> Exception:
    near = closest(name, traced_names())
    hint = (
        f"did you mean np.{near}?"
        if near
        else "write it with functions that trace (docs/tracing.md)"
    )
    return refuse(f"np.{name} can't be traced yet", _CURES.get(name, hint))
