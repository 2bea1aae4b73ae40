"""Functions over a session's parameters."""

from typing import Any

import numpy as np

import chainrule as cr
from chainrule.predicting import trace_prediction

PARAMS = {"w": cr.spec((3,))}
BUFFERS = {"m": cr.spec(())}
X = np.ones((4, 3))


def test_a_function_takes_buffers_where_it_has_room_for_them() -> None:
    plain = trace_prediction(lambda p, x: x @ p["w"], PARAMS, None, (X,))
    assert plain.in_names == ("params/w", "batch/0")
    without = trace_prediction(lambda p, x: x @ p["w"], PARAMS, BUFFERS, (X,))
    assert without.in_names == ("params/w", "batch/0")
    with_buffers = trace_prediction(lambda p, b, x: x @ p["w"] + b["m"], PARAMS, BUFFERS, (X,))
    assert with_buffers.in_names == ("params/w", "buffers/m", "batch/0")


def test_train_is_false_and_a_graph_is_itself() -> None:
    def f(p: Any, x: Any, train: bool) -> Any:
        return x @ p["w"] * (0.0 if train else 1.0)

    graph = trace_prediction(f, PARAMS, None, (X,))
    assert graph.out_names == ("out",)
    assert trace_prediction(graph, PARAMS, None, (X,)) is graph
