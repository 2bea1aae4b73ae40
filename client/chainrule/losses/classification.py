"""Losses of classes and probabilities."""

from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.losses.reduction import mean_over
from chainrule.nn.library import log_softmax
from chainrule.tracing.elementwise import real
from chainrule.tracing.operands import as_tracer, emit, is_tracing, weakly


def softmax_cross_entropy(logits: Any, labels: Any, weights: Any = None) -> Any:
    """The mean of -log softmax(logits)[label] over examples.

    Args:
        logits: (..., classes).
        labels: class numbers from 0, integers of shape (...); or probabilities of logits' shape.
        weights: one an example.
    """
    return mean_over(cross_entropies(logits, labels), weights)


def cross_entropies(logits: Any, labels: Any) -> Any:
    """-log softmax(logits)[label], one an example; arguments as `softmax_cross_entropy`."""
    if np.ndim(labels) == np.ndim(logits):
        return -np.sum(labels * log_softmax(logits), axis=-1)
    if is_tracing(logits, labels):
        scores = real(logits)
        losses = emit("SoftmaxCrossEntropy", scores, as_tracer(labels, DType.INT64))
        return weakly(losses, scores.weak)
    picked = np.take_along_axis(log_softmax(logits), np.expand_dims(labels, -1), -1)
    return -np.squeeze(picked, -1)


def binary_cross_entropy_with_logits(logits: Any, targets: Any, weights: Any = None) -> Any:
    """The mean of max(z, 0) - z t + log1p(e^-|z|), which is -t log s(z) - (1 - t) log(1 - s(z)).

    Args:
        logits: z, any shape.
        targets: t in [0, 1], the same shape.
        weights: broadcast to them.
    """
    # max(z, 0) and |z| as compositions of |z|: their derivatives at 0 add up to s(0) = 1/2.
    size = np.abs(logits)
    return mean_over(0.5 * (logits + size) - logits * targets + np.log1p(np.exp(-size)), weights)


def hinge(scores: Any, targets: Any, weights: Any = None) -> Any:
    """The mean of max(0, 1 - t s), for targets t of -1 and 1."""
    return mean_over(np.maximum(1.0 - targets * scores, 0.0), weights)


def kl_divergence(log_predictions: Any, targets: Any, weights: Any = None) -> Any:
    """The mean over examples of sum t (log t - log p) along the last axis; 0 log 0 is 0."""
    safe = np.where(targets > 0, targets, 1.0)
    return mean_over(np.sum(targets * (np.log(safe) - log_predictions), axis=-1), weights)
