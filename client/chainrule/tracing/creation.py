"""Arrays like another, triangles, and questions about shape and dtype."""

from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.tracing.operands import as_tracer, emit
from chainrule.tracing.promotion import dtype_of
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer


@implements(np.full_like)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
) -> Any:
    """np.full_like."""
    del order, subok
    kind = as_tracer(a).aval.dtype if dtype is None else dtype_of(dtype)
    size = np.shape(a) if shape is None else shape
    return np.broadcast_to(as_tracer(fill_value, kind), size)


@implements(np.zeros_like, np.empty_like)
def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> Any:
    """np.zeros_like; np.empty_like gives zeros too."""
    return full_like(a, 0, dtype, order, subok, shape)


@implements(np.ones_like)
def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> Any:
    """np.ones_like."""
    return full_like(a, 1, dtype, order, subok, shape)


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Tracer:
    """np.copy: a traced value is never written to, so it is its own copy."""
    del order, subok
    return as_tracer(a)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """np.tril: zeros above the k-th diagonal."""
    rows, columns = np.shape(m)[-2:]
    return np.where(np.tri(rows, columns, k, dtype=bool), m, 0)


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """np.triu: zeros below the k-th diagonal."""
    rows, columns = np.shape(m)[-2:]
    return np.where(np.tri(rows, columns, k - 1, dtype=bool), 0, m)


@implements(np.shape)
def shape_of(a: Any) -> tuple[int, ...]:
    """np.shape."""
    return as_tracer(a).shape


@implements(np.ndim)
def ndim_of(a: Any) -> int:
    """np.ndim."""
    return as_tracer(a).ndim


@implements(np.size)
def size_of(a: Any, axis: int | None = None) -> int:
    """np.size."""
    return as_tracer(a).size if axis is None else as_tracer(a).shape[axis]


@implements(np.result_type)
def result_type(*values: Any) -> np.dtype[Any]:
    """np.result_type by NumPy's own rule, from the dtypes."""
    return np.result_type(*(v.dtype if isinstance(v, Tracer) else v for v in values))


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """True: there are no complex values."""
    del x
    return True


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """False: there are no complex values."""
    del x
    return False


def astype(x: Tracer, dtype: Any, *args: Any, **options: Any) -> Tracer:
    """ndarray.astype; other options than the dtype change nothing here."""
    del args, options
    wanted = dtype_of(dtype)
    value = as_tracer(x)
    if value.aval.dtype is wanted:
        return Tracer(value.tape, value.row)
    if wanted is DType.FLOAT16:
        return emit("Cast", value, dtype=DType.FLOAT32)
    return emit("Cast", value, dtype=wanted)


if hasattr(np, "astype"):
    implements(np.astype)(astype)
