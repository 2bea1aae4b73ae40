"""The discrete Fourier transform, as a real linear map of (real, imaginary) pairs.

    y_k = sum over j of e^(-2 pi i j k / n) x_j,   with + for inverse

The matrix is symmetric, so as a real map its transpose is its conjugate: the transform in the other
direction.
"""

from typing import cast

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.ir.expr import Expr, dft
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import refuse_stored
from chainrule_server.engine.ops.table import Array, Arrays, AttrMap, Op, Thunk

Ints = tuple[int, ...]


def _bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    refuse_stored(ins)
    (x,), axes = ins, tuple(a % out.ndim for a in cast(Ints, attrs["axes"]))
    kind = np.complex64 if out.dtype == np.float32 else np.complex128
    inverse = bool(attrs["inverse"])

    def run() -> None:
        z = np.empty(x.shape[:-1], kind)
        z.real, z.imag = x[..., 0], x[..., 1]
        if z.size:
            for axis in axes:
                z = (
                    np.fft.ifft(z, axis=axis, norm="forward")
                    if inverse
                    else np.fft.fft(z, axis=axis)
                )
        np.copyto(out[..., 0], z.real, casting="same_kind")
        np.copyto(out[..., 1], z.imag, casting="same_kind")

    return run


def _workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # Two complex arrays, the second of double precision before NumPy 2, a copy of lines along an axis, and
    # the tables of a transform of a length with large prime factors.
    del inputs
    axes = cast(Ints, attrs["axes"])
    longest = max((out.shape[a] for a in axes), default=0)
    return 16 * out.size + out.size * out.itemsize + 16 * 8 * longest + 4096


def _cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    # 5 n log2 n operations a line of n
    del inputs
    lengths = [out.dims[a] for a in cast(Ints, attrs["axes"])]
    return sum(5 * (out.size // 2) * max(n.bit_length(), 1) for n in lengths) + out.size


def _vjp(ct: Expr, out: Expr, x: Expr, *, axes: Ints, inverse: bool) -> tuple[Expr]:
    # y = F x:  x_ct = F^T ct, which is the transform in the other direction
    del out, x
    return (dft(ct, axes, not inverse),)


def _jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, axes: Ints, inverse: bool) -> Expr:
    del out, x
    return dft(tangents[0], axes, inverse)


FOURIER = (
    Op(
        "Dft",
        _bind,
        _vjp,
        _jvp,
        _cost,
        _workspace,
        linear=((0,),),
        batching=lanes.shifted("Dft", "axes"),
    ),
)
