"""Losses of real-valued targets."""

from typing import Any

import numpy as np

from chainrule.losses.reduction import mean_over, over_features


def mse(predictions: Any, targets: Any, weights: Any = None) -> Any:
    """The mean of (prediction - target)^2 over all elements."""
    return mean_over((predictions - targets) ** 2, weights)


def mae(predictions: Any, targets: Any, weights: Any = None) -> Any:
    """The mean of |prediction - target|; the derivative at 0 is 0."""
    return mean_over(np.abs(predictions - targets), weights)


def half_squared_error(predictions: Any, targets: Any, weights: Any = None) -> Any:
    """The mean over examples of 1/2 sum (prediction - target)^2.

    The loss of the article's network, L = 1/2 (y_hat - y)^2; its derivative is the error itself.
    """
    return mean_over(0.5 * over_features((predictions - targets) ** 2), weights)


def huber(predictions: Any, targets: Any, delta: float = 1.0, weights: Any = None) -> Any:
    """The mean of e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2).

    Source: Huber 1964, Annals of Mathematical Statistics 35, page 75.
    """
    error = np.abs(predictions - targets)
    inside = np.minimum(error, delta)
    return mean_over(inside * (error - 0.5 * inside), weights)
