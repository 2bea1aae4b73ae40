"""Optimizers as pure NumPy functions, sent like a model; compose them with `chain`."""

from chainrule.optim.adam import adam, adamw
from chainrule.optim.combine import (
    add_weight_decay,
    chain,
    clip_by_global_norm,
    clip_by_value,
    scale,
    scale_by_schedule,
)
from chainrule.optim.graphs import trace_optimizer
from chainrule.optim.optimizer import Optimizer, custom, stateless
from chainrule.optim.sgd import sgd

__all__ = [
    "Optimizer",
    "adam",
    "adamw",
    "add_weight_decay",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "custom",
    "scale",
    "scale_by_schedule",
    "sgd",
    "stateless",
    "trace_optimizer",
]
