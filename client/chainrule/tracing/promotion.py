"""Which dtype an operation computes in.

Within a kind as the array API; across kinds the float wins. Python and NumPy scalars are weak: they take the
dtype of the arrays they meet, so `x / np.sqrt(4)` keeps a float32 x. Captured arrays are strong.
"""

from collections.abc import Sequence
from typing import NamedTuple

from chainrule.ir.avals import DType
from chainrule.tracing.refusals import refuse

_KIND = {
    DType.BOOL: 0,
    DType.UINT8: 1,
    DType.UINT32: 1,
    DType.INT32: 1,
    DType.INT64: 1,
    DType.FLOAT16: 2,
    DType.BFLOAT16: 2,
    DType.FLOAT32: 2,
    DType.FLOAT64: 2,
}
_DEFAULT = (DType.BOOL, DType.INT64, DType.FLOAT64)
_BITS = {DType.UINT8: 8, DType.UINT32: 32, DType.INT32: 32, DType.INT64: 64}


class Typed(NamedTuple):
    """A dtype, and whether it gives way to any array's of the same kind or a lower one."""

    dtype: DType
    weak: bool


def promote(operands: Sequence[Typed]) -> Typed:
    """The dtype of an operation on these operands; weak where a weak operand decided its kind."""
    kind = max(_KIND[o.dtype] for o in operands)
    strong = [o.dtype for o in operands if not o.weak and _KIND[o.dtype] == kind]
    if not strong:
        return Typed(_DEFAULT[kind], True)
    dtype = strong[0]
    for other in strong[1:]:
        dtype = _wider(dtype, other)
    return Typed(dtype, False)


def floating(typed: Typed) -> Typed:
    """The dtype that a function of real numbers computes in: integers become float64."""
    return typed if typed.dtype.is_float else Typed(DType.FLOAT64, typed.weak)


def _wider(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if a.is_float:
        return DType.FLOAT64 if DType.FLOAT64 in (a, b) else DType.FLOAT32
    signed = [d for d in (a, b) if d in (DType.INT32, DType.INT64)]
    unsigned = [d for d in (a, b) if d in (DType.UINT8, DType.UINT32)]
    if signed and unsigned:
        # A signed dtype that holds both: int32 holds uint8, only int64 holds uint32.
        return DType.INT32 if (a, b) in _SMALL or (b, a) in _SMALL else DType.INT64
    return max(a, b, key=_BITS.__getitem__)


_SMALL = {(DType.INT32, DType.UINT8)}


def dtype_of(dtype: object) -> DType:
    """The dtype a user names in `astype` or `dtype=`."""
    try:
        return DType.of(dtype)
    except TypeError as error:
        raise refuse(f"{dtype!r} is no dtype", "give np.float32, np.int64 and the like") from error
