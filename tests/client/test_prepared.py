"""Functions at arguments, before anything is sent."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.prepared import owned, prepare

X = np.ones((4, 3))


def test_feeds_are_named_and_the_batch_is_counted() -> None:
    prepared = prepare(lambda w, x: np.mean(x @ w), (np.ones(3), X), batch=1)
    assert list(prepared.feeds) == ["args/0", "args/1"]
    assert prepared.examples == 4
    assert prepared.wrt_names((0, 1)) == ("args/0", "args/1")
    assert prepared.scalar_out() == "out"


def test_results_take_the_structure_of_their_arguments() -> None:
    argument = {"a": [np.ones(2), None], "b": ()}
    prepared = prepare(lambda p: np.sum(p["a"][0]), (argument,))
    shaped = prepared.shaped(0, {"args/0/a/[0]": np.zeros(2)})
    assert shaped["a"][1] is None
    assert shaped["b"] == ()
    np.testing.assert_array_equal(shaped["a"][0], np.zeros(2))


def test_only_floats_are_differentiable() -> None:
    prepared = prepare(lambda x, rows, n: x[rows] * n, (np.ones(3), np.array([0]), 2))
    assert prepared.differentiable() == (0,)
    with pytest.raises(cr.GraphError, match="no argument is an array of floats"):
        prepare(lambda rows: rows + 1, (np.array([0]),)).differentiable()
    with pytest.raises(cr.GraphError, match="argument 0, which holds no array"):
        prepare(lambda kind, x: x, ("sin", np.ones(3))).wrt_names(0)


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (np.ones(2), r"vectors: args/0 has shape \(2,\), \(3,\) is needed"),
        ({"w": np.ones(3)}, "vectors: args/0 is missing"),
    ],
)
def test_directions_must_fit(vector: Any, text: str) -> None:
    prepared = prepare(lambda w: np.sum(w), (np.ones(3),))
    with pytest.raises(cr.ShapeMismatch, match=text):
        prepared.directions(("args/0",), 0, vector, "vectors")


def test_a_batch_needs_a_graph_traced_with_one() -> None:
    graph = cr.trace(lambda x: np.sum(x), X)
    with pytest.raises(cr.ShapeMismatch, match="traced without a batch; trace it with"):
        prepare(graph, (X,), batch=0)


def test_what_comes_back_belongs_to_the_caller() -> None:
    frozen = np.frombuffer(b"\0" * 16, np.float64)
    mine = owned(frozen)
    mine[0] = 1.0
    assert frozen[0] == 0.0
    assert isinstance(owned(np.array(2.0)), np.float64)
