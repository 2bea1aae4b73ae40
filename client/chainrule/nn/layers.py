"""Layers without parameters of their own: the arrays are arguments."""

import math
from typing import Any

import numpy as np

from chainrule.nn.library import softmax
from chainrule.random import bernoulli
from chainrule.tracing import ordering
from chainrule.tracing.operands import is_tracing
from chainrule.tracing.refusals import refuse
from chainrule.tracing.transforms import stop_gradient


def linear(x: Any, w: Any, b: Any = None) -> Any:
    """x @ w + b, for x (..., inputs), w (inputs, outputs), b (outputs,)."""
    return x @ w if b is None else x @ w + b


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
    """Ones at the labels, zeros elsewhere: (...) to (..., classes).

    Args:
        labels: integers from 0; others give a row of zeros.
        classes: the length of the new last axis.
        dtype: of the result; by default it takes that of the arrays it meets, float64 alone.
    """
    hot = np.where(np.expand_dims(labels, -1) == np.arange(classes), 1.0, 0.0)
    return hot if dtype is None else hot.astype(dtype)


def top_k(x: Any, k: int, axis: int = -1) -> tuple[Any, Any]:
    """The k largest elements along an axis, largest first, and where they stand; of equal ones the later."""
    if is_tracing(x):
        return ordering.top_k(x, k, axis)
    order = np.flip(np.argsort(x, axis=axis, kind="stable"), axis)
    places = np.take(order, range(k), axis)
    return np.take_along_axis(x, places, axis), places


def embedding(table: Any, ids: Any) -> Any:
    """Rows of a table (entries, features): ids (...) to (..., features)."""
    return table[ids]


def dropout(rate: float, x: Any, train: bool = True) -> Any:
    """x with elements zeroed with probability `rate`, the others scaled by 1 / (1 - rate).

    The mask depends on seed, step, the call's place in the function and the example's number in the whole
    batch; not on workers. Source: Srivastava et al. 2014, JMLR 15.

    Args:
        rate: a static number in [0, 1).
        x: the batch is its leading axis.
        train: whether to drop at all.

    Raises:
        TraceError: a rate outside [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise refuse(f"a dropout rate of {rate}", "give a number from 0 up to, not including, 1")
    if not train or rate == 0.0:
        return x
    keep = 1.0 - rate
    return np.where(bernoulli(keep, np.shape(x)), x * (1.0 / keep), 0.0)


def layer_norm(
    x: Any, scale: Any = None, bias: Any = None, axis: Any = -1, eps: float = 1e-5
) -> Any:
    """(x - mean) / sqrt(var + eps) * scale + bias over the features.

    Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450, equation 4.
    """
    centred = x - np.mean(x, axis=axis, keepdims=True)
    variance = np.mean(centred**2, axis=axis, keepdims=True)
    return _affine(centred / np.sqrt(variance + eps), scale, bias)


def rms_norm(x: Any, scale: Any = None, axis: Any = -1, eps: float = 1e-6) -> Any:
    """x / sqrt(mean(x^2) + eps) * scale. Source: Zhang, Sennrich 2019, arXiv:1910.07467."""
    mean_square = np.mean(x**2, axis=axis, keepdims=True)
    return _affine(x / np.sqrt(mean_square + eps), scale, None)


def batch_norm(
    x: Any,
    state: dict[str, Any],
    scale: Any = None,
    bias: Any = None,
    train: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Any, dict[str, Any]]:
    """Features (..., features) brought to mean 0 and variance 1 over all other axes, and the new state.

    Examples meet in the means, so a batch that is split needs them of the whole of it.
    Source: Ioffe, Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    Args:
        x: the batch.
        state: buffers {"mean", "var"}, (features,) each; used and kept as they are where not training.
        scale, bias: (features,).
        train: whether to take the batch's own mean and variance, and move the state towards them.
        momentum: the share of the batch in the new state.
        eps: added to the variance.
    """
    if not train:
        return _affine((x - state["mean"]) / np.sqrt(state["var"] + eps), scale, bias), state
    axes = tuple(range(np.ndim(x) - 1))
    mean = np.mean(x, axis=axes)
    variance = np.mean((x - mean) ** 2, axis=axes)
    count = math.prod(np.shape(x)[:-1])
    # The state holds the unbiased variance, as PyTorch's does. One factor at a time: each is a formula in N.
    unbiased = variance * count / (count - 1)
    new = {
        name: (1 - momentum) * state[name] + momentum * stop_gradient(value)
        for name, value in (("mean", mean), ("var", unbiased))
    }
    return _affine((x - mean) / np.sqrt(variance + eps), scale, bias), new


def _affine(x: Any, scale: Any, bias: Any) -> Any:
    x = x if scale is None else x * scale
    return x if bias is None else x + bias


def attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    """softmax(q k^T / sqrt(d)) v for q (..., m, d), k (..., n, d), v (..., n, e).

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    Args:
        q, k, v: queries, keys, values.
        mask: bool, broadcast to (..., m, n); False forbids.
    """
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        # Not -inf: a row that is forbidden altogether would become NaN.
        scores = np.where(mask, scores, -1e30)
    return softmax(scores) @ v
