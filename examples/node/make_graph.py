"""Writes network.pb: the example network's loss as a graph, for clients that have no tracer.

python examples/node/make_graph.py
"""

from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.wire.graph import graph_to_proto

TARGET = Path(__file__).resolve().parent / "network.pb"


def loss(params, x, y):
    """1/2 (y_hat - y)^2 of y_hat = W2 sigma(W1 x + b1) + b2, the mean over the batch."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    y_hat = a @ params["W2"] + params["b2"]
    return 0.5 * np.mean(np.sum((y_hat - y) ** 2, axis=-1))


def main():
    """Traces the loss for any number of examples and saves the graph."""
    params = {
        "W1": cr.spec((1, 8)),
        "b1": cr.spec((8,)),
        "W2": cr.spec((8, 1)),
        "b2": cr.spec((1,)),
    }
    x = y = cr.spec((None, 1), batch_axis=0)
    graph = cr.trace(loss, params, x, y)
    TARGET.write_bytes(graph_to_proto(graph.graph).SerializeToString(deterministic=True))
    print(f"{TARGET.name}: inputs {', '.join(graph.in_names)}; digest {graph.digest}")


if __name__ == "__main__":
    main()
