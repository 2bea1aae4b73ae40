"""From what users write to rows: tracers, arrays and scalars as operands of one dtype."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import DType
from chainrule.tracing.promotion import Typed, promote
from chainrule.tracing.refusals import refuse
from chainrule.tracing.source import user_source
from chainrule.tracing.tape import Tape, current
from chainrule.tracing.tracer import Tracer

Scalar = bool | int | float | np.generic


def tape_now() -> Tape:
    """The tape that operations go to.

    Raises:
        TraceError: no function is being traced.
    """
    tape = current()
    if tape is None:
        raise refuse(
            "this works inside a function that is traced only",
            "call it in a function given to cr.trace, client.grad, create_session, ...",
        )
    return tape


def inside(name: str, outside: str = "call it in a function given to client.value, ...") -> None:
    """Refuse `cr.<name>` where no function is being traced.

    Raises:
        TraceError: with `outside` as what to do there.
    """
    if current() is None:
        raise refuse(f"cr.{name} works inside a function that is traced", outside)


def is_tracing(*values: Any) -> bool:
    """Whether one of these is a traced value."""
    return any(isinstance(v, Tracer) for v in values)


def typed(value: Any) -> Typed:
    """dtype and weakness of an operand."""
    if isinstance(value, Tracer):
        return Typed(value.aval.dtype, value.weak)
    if isinstance(value, bool | np.bool_):
        return Typed(DType.BOOL, True)
    if isinstance(value, int | np.integer):
        return Typed(DType.INT64, True)
    if isinstance(value, float | np.floating):
        return Typed(DType.FLOAT64, True)
    try:
        dtype = DType.of(np.asarray(value).dtype)
    except ChainruleError as error:
        error.line = error.line or user_source().text or None
        raise
    return Typed(DType.FLOAT32 if dtype is DType.FLOAT16 else dtype, False)


def normal(value: Any) -> Any:
    """A value as a Tracer, a NumPy array or a scalar.

    Raises:
        TraceError: it is none of them.
    """
    if isinstance(value, Tracer | Scalar | np.ndarray):
        return value
    if isinstance(value, list | tuple) and _holds_tracer(value):
        raise refuse(
            "a list of traced values is used as an array",
            "join them with np.stack or np.concatenate",
        )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise refuse(
            f"{type(value).__name__} is no array: {error}", "give arrays and numbers"
        ) from error
    if array.dtype == object:
        raise refuse(
            f"a value of type {type(value).__name__} is no array", "give arrays and numbers"
        )
    return array


def _holds_tracer(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_tracer(v) for v in value)
    return isinstance(value, Tracer)


def as_tracer(value: Any, dtype: DType | None = None) -> Tracer:
    """A value on the current tape, cast to a dtype if one is given."""
    tape = tape_now()
    value = normal(value)
    if isinstance(value, Tracer):
        here = value if value.tape is tape else Tracer(tape, tape.lift(value), value.weak)
        if dtype is None or here.aval.dtype is dtype:
            return here
        return emit("Cast", here, dtype=dtype)
    own = typed(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        _check_range(int(value), dtype or own.dtype)
        # Beyond 62 bits NumPy would make an object of it.
        value = float(value) if abs(int(value)) >= 2**62 else value
    return Tracer(tape, tape.constant(value, dtype or own.dtype), own.weak and dtype is None)


def _check_range(value: int, dtype: DType) -> None:
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        if not info.min <= value <= info.max:
            raise refuse(
                f"{value} doesn't fit {dtype.label}", "cast the array to a wider dtype first"
            )


def together(*values: Any) -> tuple[list[Tracer], bool]:
    """The operands in their one dtype, and whether the result stays weak."""
    operands = [normal(v) for v in values]
    kinds = [typed(v) for v in operands]
    found = promote(kinds)
    _tell_promotion(operands, kinds, found)
    return [as_tracer(v, found.dtype) for v in operands], found.weak


def _tell_promotion(operands: Sequence[Any], kinds: Sequence[Typed], found: Typed) -> None:
    if found.dtype is not DType.FLOAT64 or found.weak:
        return
    has_float32 = any(k.dtype is DType.FLOAT32 and not k.weak for k in kinds)
    captured = [
        v for v in operands if isinstance(v, np.ndarray) and DType.of(v.dtype) is DType.FLOAT64
    ]
    if has_float32 and captured:
        tape_now().notice(
            "PROMOTED",
            f"a captured float64 array of shape {captured[0].shape} makes float32 values float64; "
            "capture it .astype(np.float32) to keep float32",
        )


def emit(op: str, *operands: Tracer, **attrs: AttrValue) -> Tracer:
    """One row on the current tape."""
    tape = tape_now()
    rows = [tape.lift(t) for t in operands]
    return Tracer(tape, tape.record(op, rows, attrs))


def weakly(tracer: Tracer, weak: bool) -> Tracer:
    """The same value with this weakness."""
    return tracer if tracer.weak == weak else Tracer(tracer.tape, tracer.row, weak)
