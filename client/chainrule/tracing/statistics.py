"""Statistics made of reductions: those that skip NaN, covariances, and sums under curves."""

from typing import Any

import numpy as np

from chainrule.tracing.elementwise import real, where
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements


def _split(a: Any) -> tuple[Any, Any]:
    """The array, and where it is NaN."""
    x: Any = real(a)
    return x, np.isnan(x)


@implements(np.nansum)
def nansum(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.nansum: NaN counts as 0, and gets no cotangent."""
    x, hole = _split(a)
    return np.sum(where(hole, 0.0, x), axis=axis, keepdims=keepdims)


@implements(np.nanprod)
def nanprod(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.nanprod: NaN counts as 1."""
    x, hole = _split(a)
    return np.prod(where(hole, 1.0, x), axis=axis, keepdims=keepdims)


@implements(np.nanmean)
def nanmean(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.nanmean: over the numbers that are there; NaN where there is none."""
    x, hole = _split(a)
    count = np.sum(~hole, axis=axis, keepdims=keepdims)
    return nansum(x, axis, keepdims=keepdims) / count.astype(x.dtype)


@implements(np.nanvar)
def nanvar(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    """np.nanvar."""
    x, hole = _split(a)
    # The hole is filled before the square: NaN times 0 would be NaN again in the derivative.
    away = where(hole, 0.0, x) - nanmean(x, axis, keepdims=True)
    squares = where(hole, 0.0, away**2)
    count = np.sum(~hole, axis=axis, keepdims=keepdims).astype(x.dtype)
    return np.sum(squares, axis=axis, keepdims=keepdims) / (count - ddof)


@implements(np.nanstd)
def nanstd(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    """np.nanstd."""
    return np.sqrt(nanvar(a, axis, ddof=ddof, keepdims=keepdims))


def _extreme(a: Any, axis: Any, keepdims: Any, sign: float) -> Any:
    x, hole = _split(a)
    reduce: Any = np.max if sign > 0 else np.min
    found = reduce(where(hole, -sign * np.inf, x), axis=axis, keepdims=keepdims)
    return where(np.all(hole, axis=axis, keepdims=keepdims), np.nan, found)


@implements(np.nanmax)
def nanmax(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.nanmax: NaN where there is nothing else."""
    return _extreme(a, axis, keepdims, 1.0)


@implements(np.nanmin)
def nanmin(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.nanmin: NaN where there is nothing else."""
    return _extreme(a, axis, keepdims, -1.0)


@implements(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None
) -> Any:
    """np.cov: variables along the rows, observations along the columns."""
    parts = [_variables(v, rowvar) for v in (m, y) if v is not None]
    x = np.concatenate(parts, axis=0)
    centred = x - np.mean(x, axis=1, keepdims=True)
    free = ddof if ddof is not None else int(not bias)
    return np.squeeze(centred @ centred.T / (x.shape[1] - free))


def _variables(v: Any, rowvar: bool) -> Any:
    x: Any = real(v)
    if x.ndim > 2:
        raise refuse(f"np.cov of {x.ndim} axes", "give variables and observations, two axes")
    if x.ndim < 2:
        return np.reshape(x, (1, -1))
    return x if rowvar or x.shape[0] == 1 else x.T


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """np.corrcoef: the covariance over both deviations."""
    c = cov(x, y, rowvar)
    if not c.ndim:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return c / deviation[:, None] / deviation[None, :]


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """np.polyval by Horner's rule; the highest power comes first."""
    value: Any = real(x)
    total = np.zeros_like(value)
    for k in range(np.shape(p)[0]):
        total = total * value + p[k]
    return total


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """np.trapezoid: the area under straight lines between neighbours."""
    whole: Any = real(y)
    values = np.moveaxis(whole, axis, -1)
    steps: Any = dx
    if x is not None:
        given: Any = real(x)
        steps = np.diff(given if given.ndim == 1 else np.moveaxis(given, axis, -1))
    return np.sum((values[..., 1:] + values[..., :-1]) * steps, axis=-1) * 0.5


# NumPy 1 has it under its old name.
implements(getattr(np, "trapezoid" if hasattr(np, "trapezoid") else "trapz"))(trapezoid)
