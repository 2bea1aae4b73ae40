"""Neural-network functions, in traced code and on plain arrays: compositions, no new primitive."""

from chainrule.nn.layers import (
    attention,
    dropout,
    embedding,
    layer_norm,
    linear,
    one_hot,
    rms_norm,
)
from chainrule.nn.library import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)

__all__ = [
    "attention",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsumexp",
    "one_hot",
    "relu",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]
