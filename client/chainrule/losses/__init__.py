"""Losses: means over the batch, with optional weights, in traced code and on plain arrays."""

from chainrule.losses.classification import (
    binary_cross_entropy_with_logits,
    cross_entropies,
    hinge,
    kl_divergence,
    softmax_cross_entropy,
)
from chainrule.losses.regression import half_squared_error, huber, mae, mse

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropies",
    "half_squared_error",
    "hinge",
    "huber",
    "kl_divergence",
    "mae",
    "mse",
    "softmax_cross_entropy",
]
