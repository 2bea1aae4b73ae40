"""The methods of ndarray that a traced value has, each the function of the same name."""

from typing import Any

import numpy as np

from chainrule.tracing.creation import astype
from chainrule.tracing.indexing import getitem
from chainrule.tracing.movement import ints, reshape, transpose
from chainrule.tracing.registry import METHODS, Handler
from chainrule.tracing.tracer import Tracer

_SAME = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "var": np.var,
    "std": np.std,
    "prod": np.prod,
    "any": np.any,
    "all": np.all,
    "argmax": np.argmax,
    "argmin": np.argmin,
    "ptp": np.ptp,
    "dot": np.dot,
    "ravel": np.ravel,
    "flatten": np.ravel,
    "squeeze": np.squeeze,
    "swapaxes": np.swapaxes,
    "clip": np.clip,
    "copy": np.copy,
    "repeat": np.repeat,
    "take": np.take,
    "trace": np.trace,
    "diagonal": np.diagonal,
    "round": np.round,
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "argsort": np.argsort,
}


def _reshape(x: Tracer, *shape: Any, order: str = "C") -> Tracer:
    return reshape(x, shape[0] if len(shape) == 1 else shape, order)


def _transpose(x: Tracer, *axes: Any) -> Tracer:
    if not axes or axes == (None,):
        return transpose(x)
    return transpose(x, ints(axes[0]) if len(axes) == 1 else axes)


def _method(function: Any) -> Handler:
    # Through NumPy's own function, so that its options, out= among them, are treated in one place.
    def method(x: Tracer, *args: Any, **options: Any) -> Any:
        return function(x, *args, **options)

    return method


for _name, _function in _SAME.items():
    METHODS[_name] = _method(_function)
METHODS["reshape"] = _reshape
METHODS["transpose"] = _transpose
METHODS["astype"] = astype
METHODS["__getitem__"] = getitem
