"""Neural-network functions, in traced code and on plain arrays: compositions, no new primitive."""

from chainrule.nn.convolution import average_pool, conv, max_pool
from chainrule.nn.layers import (
    attention,
    batch_norm,
    dropout,
    embedding,
    layer_norm,
    linear,
    one_hot,
    rms_norm,
    top_k,
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
from chainrule.nn.recurrent import gru, lstm

__all__ = [
    "attention",
    "average_pool",
    "batch_norm",
    "conv",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "gru",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsumexp",
    "lstm",
    "max_pool",
    "one_hot",
    "relu",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "top_k",
]
