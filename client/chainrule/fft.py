"""Fourier transforms in traced code. There are no complex numbers: a last axis of length 2 holds (re, im).

`as_complex` and `as_pairs` go between these and NumPy's complex arrays, outside of traced code. Axes are
counted in the array of complex numbers, without the last axis of the pairs.
"""

from typing import Any

import numpy as np

from chainrule.ir.rules import axis_of
from chainrule.tracing.elementwise import real
from chainrule.tracing.operands import emit
from chainrule.tracing.refusals import refuse
from chainrule.tracing.tape import current

__all__ = ["as_complex", "as_pairs", "fft", "ifft", "irfft", "rfft"]


def as_pairs(z: Any) -> Any:
    """A complex array as (..., 2)."""
    return np.stack([np.real(z), np.imag(z)], axis=-1)


def as_complex(pairs: Any) -> Any:
    """(..., 2) as a complex array."""
    return pairs[..., 0] + 1j * pairs[..., 1]


def fft(z: Any, axis: int = -1) -> Any:
    """np.fft.fft of pairs, along an axis: (..., n, 2) to (..., n, 2)."""
    return _transform(z, axis, inverse=False)


def ifft(z: Any, axis: int = -1) -> Any:
    """np.fft.ifft of pairs: the inverse, divided by n."""
    return _transform(z, axis, inverse=True)


def rfft(x: Any, axis: int = -1) -> Any:
    """np.fft.rfft: real (..., n) to pairs (..., n // 2 + 1, 2)."""
    i = _axis(np.ndim(x), axis)
    full = fft(np.stack([x, np.zeros_like(x)], axis=-1), i)
    return full[(*(slice(None),) * i, slice(0, np.shape(x)[i] // 2 + 1))]


def irfft(z: Any, n: int | None = None, axis: int = -1) -> Any:
    """np.fft.irfft: pairs (..., n // 2 + 1, 2) to real (..., n); n is even by default.

    Raises:
        TraceError: z has not the n // 2 + 1 frequencies of n numbers.
    """
    i = _axis(np.ndim(z) - 1, axis)
    half = np.shape(z)[i]
    n = 2 * (half - 1) if n is None else n
    if n < 1 or n // 2 + 1 != half:
        raise refuse(
            f"cr.fft.irfft of {half} frequencies to {n} numbers", "give n // 2 + 1 of them"
        )
    before = (slice(None),) * i
    # The upper half is the conjugate of the lower one backwards; the imaginary parts of the frequencies that
    # are their own conjugate don't count, as in NumPy.
    own = np.zeros(half)
    own[[0, *([half - 1] if n % 2 == 0 else [])]] = 1.0
    shape = (half, *(1,) * (np.ndim(z) - i - 2))
    mask = np.stack([np.ones(shape), 1.0 - own.reshape(shape)], axis=-1).astype(z.dtype)
    z = z * mask
    mirrored = np.flip(z[(*before, slice(1, n - half + 1))], axis=i)
    conjugate = mirrored * np.array([1.0, -1.0], z.dtype)
    return ifft(np.concatenate([z, conjugate], axis=i), i)[..., 0]


def _transform(z: Any, axis: int, inverse: bool) -> Any:
    if not np.ndim(z) or np.shape(z)[-1] != 2:
        raise refuse(
            f"a Fourier transform of {np.shape(z)}",
            "put (re, im) on a last axis of length 2: np.stack([re, im], axis=-1)",
        )
    i = _axis(np.ndim(z) - 1, axis)
    if current() is None:
        whole = np.fft.ifft if inverse else np.fft.fft
        return as_pairs(whole(as_complex(z), axis=i))
    out: Any = emit("Dft", real(z), axes=(i,), inverse=inverse)
    return out * (1.0 / np.shape(z)[i]) if inverse else out


def _axis(rank: int, axis: int) -> int:
    return axis_of(axis, rank)
