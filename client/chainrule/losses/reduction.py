"""From one loss an example to one number."""

from typing import Any

import numpy as np


def mean_over(per_example: Any, weights: Any = None) -> Any:
    """The mean, or sum(w l) / sum(w).

    Args:
        per_example: losses, any shape.
        weights: broadcast to them; a 0/1 mask leaves examples out. They must not sum to 0.
    """
    if weights is None:
        return np.mean(per_example)
    # A bool mask takes the losses' dtype, a mask of integers would make them float64.
    w = np.where(weights, 1.0, 0.0) if weights.dtype == bool else weights
    wide = np.broadcast_to(w, np.shape(per_example))
    return np.sum(per_example * wide) / np.sum(wide)


def over_features(losses: Any) -> Any:
    """The sum over all axes but the first, which is the batch; a loss of a single example stays."""
    axes = tuple(range(1, np.ndim(losses)))
    return np.sum(losses, axis=axes) if axes else losses
