"""A loss as graphs, by the form of the batch."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.lossgraphs import Known, LossGraphs, batch_arrays, form_of, takes_train

SPECS = {"w": cr.spec((3,))}


def squares(params: Any, x: Any, train: bool = False) -> Any:
    return np.mean((x @ params["w"]) ** 2) * (2.0 if train else 1.0)


def test_the_graph_has_the_names_of_a_session() -> None:
    graph = LossGraphs(squares, SPECS).trace((np.ones((5, 3)),), True)
    assert graph.in_names == ("params/w", "batch/0")
    assert graph.out_names == ("loss",)
    assert graph.batch_axes == {"batch/0": 0}


def test_buffers_and_metrics_have_names_of_their_own() -> None:
    def loss(params: Any, buffers: Any, x: Any) -> Any:
        return np.mean(x @ params["w"]), {"m": buffers["m"] + 1.0}, {"k": np.sum(x)}

    graph = LossGraphs(loss, SPECS, {"m": cr.spec(())}).trace((np.ones((5, 3)),), True)
    assert graph.out_names == ("loss", "buffers/m", "metrics/k")


def test_training_and_evaluation_are_two_graphs_where_the_loss_tells_them_apart() -> None:
    graphs, batch = LossGraphs(squares, SPECS), (np.ones((5, 3)),)
    assert graphs.trace(batch, True).digest != graphs.trace(batch, False).digest
    graphs.add(batch, True, Known(b"t"))
    assert graphs.find(batch, False) is None
    assert takes_train(squares)


def test_the_form_of_a_batch_leaves_its_length_out() -> None:
    x = np.ones((5, 3))
    assert form_of((x,), True) == form_of((x[:2],), True)
    others = ((x[:, :2],), (x.astype(np.float32),), ({"x": x},), (x, x))
    assert len({form_of(batch, True) for batch in (*others, (x,))}) == 5
    assert form_of((x[0],), True) != form_of((x[0, 0],), True), "a scalar has no batch to leave out"


def test_a_batch_is_named_leaf_by_leaf() -> None:
    found = batch_arrays(({"x": [1, 2]}, np.ones(2, np.float32)[::1]))
    assert list(found) == ["batch/0/x/[0]", "batch/0/x/[1]", "batch/1"]
    with pytest.raises(cr.GraphError, match="the batch holds no array"):
        batch_arrays(())


def test_without_its_function_a_session_names_the_cure() -> None:
    with pytest.raises(cr.Incompatible, match=r"batch/0 float64\(5, 3\); give the batch"):
        LossGraphs(None).trace((np.ones((5, 3)),), True)
