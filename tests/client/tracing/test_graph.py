"""`cr.Graph`: feeds and results by name, bytes, files."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch
from chainrule.tracing import Graph, trace
from support.evaluator import run
from support.traced import numbers

PARAMS = {"w": numbers(4, 3), "b": numbers(3)}
TABLE = numbers(4, 40)


def model(params: Any, x: Any) -> Any:
    h = x @ params["w"] + params["b"]
    return h.sum(), {"h": h, "t": np.sum(x @ TABLE)}


def traced() -> Graph:
    return trace(model, PARAMS, numbers(6, 4), batch=1, outputs=("out", "aux"))


def test_feeds_are_arrays_by_name_in_the_graphs_dtypes() -> None:
    graph = traced()
    swapped = numbers(6, 4).astype(">f8")[::-1]
    feeds = graph.feeds((PARAMS, swapped))
    assert list(feeds) == ["args/0/b", "args/0/w", "args/1"]
    assert feeds["args/1"].dtype == np.dtype("<f8")
    assert feeds["args/1"].flags.c_contiguous
    np.testing.assert_array_equal(feeds["args/1"], swapped)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ((PARAMS,), ErrorCode.BAD_FIELD, "1 arguments given, 2 traced"),
        (({"w": PARAMS["w"]}, numbers(6, 4)), ErrorCode.MISSING_FIELD, "args/0/b is missing"),
        (({**PARAMS, "c": PARAMS["b"]}, numbers(6, 4)), ErrorCode.BAD_FIELD, "args/0/c was not"),
        ((PARAMS, numbers(6, 5)), ErrorCode.SHAPE_MISMATCH, "(N, 4)"),
        (
            (PARAMS, numbers(6, 4).astype(np.float32)),
            ErrorCode.DTYPE_MISMATCH,
            "astype(np.float64)",
        ),
        ((PARAMS, numbers(6)), ErrorCode.SHAPE_MISMATCH, "args/1"),
    ],
)
def test_feeds_of_another_form_are_refused(args: Any, code: ErrorCode, text: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        traced().feeds(args)
    assert caught.value.code is code
    assert text in str(caught.value)


def test_batches_of_unlike_length_are_refused() -> None:
    graph = trace(lambda x, y: x @ y.T, numbers(3, 2), numbers(3, 2), batch=(0, 1))
    with pytest.raises(ShapeMismatch) as caught:
        graph.feeds((numbers(3, 2), numbers(4, 2)))
    assert caught.value.code is ErrorCode.BATCH_MISMATCH


def test_results_get_their_structure_back() -> None:
    value, aux = traced().unflatten({"out": 1, "aux/h": 2, "aux/t": 3})
    assert (value, aux) == (1, {"h": 2, "t": 3})


def test_bytes_hold_the_graph_and_give_the_same_digest() -> None:
    graph = traced()
    again = Graph.from_bytes(graph.to_bytes())
    assert again.digest == graph.digest
    assert again.in_prefixes == ("args/0", "args/1")
    assert again.out_prefixes == ("out", "aux")
    assert again.batch_axes == {"args/1": 0}


def test_truncated_bytes_are_refused() -> None:
    data = traced().to_bytes()
    for cut in (0, 5, len(data) // 2, len(data) - 1):
        with pytest.raises(InvalidGraph):
            Graph.from_bytes(data[:cut])


def test_a_saved_graph_runs_as_the_traced_one(tmp_path: Path) -> None:
    graph = traced()
    graph.save(tmp_path / "model.graph")
    again = Graph.load(tmp_path / "model.graph")
    assert again.digest == graph.digest
    assert again.to_text() == graph.to_text()
    x = numbers(9, 4)
    np.testing.assert_array_equal(run(again, PARAMS, x)[0], run(graph, PARAMS, x)[0])
    Graph.from_bytes(graph.to_bytes()).save(tmp_path / "bare.graph")
    assert Graph.load(tmp_path / "bare.graph").digest == graph.digest
    (name,) = again.captures
    np.testing.assert_array_equal(again.captures[name], TABLE)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"not a zip")
    with pytest.raises(InvalidGraph, match="is no saved graph"):
        Graph.load(path)


def test_text_and_repr_name_the_inputs() -> None:
    graph = traced()
    assert "Input [name='args/1'] : float64[N,4]" in graph.to_text()
    assert "test_graph.py:" in graph.to_text()
    assert repr(graph).startswith("<Graph model(args/0/b: float64[3], ")


def test_random_functions_need_a_key() -> None:
    assert not traced().uses_random


def test_the_picture_shows_every_node_with_its_shape() -> None:
    def f(x: Any) -> Any:
        h = np.tanh(x)
        return np.sum(h)

    shown = " ".join(ElementTree.fromstring(trace(f, np.ones(3)).to_svg()).itertext())
    assert "0 Input  args/0" in shown
    assert "1 Tanh  h" in shown
    assert "float64[3]" in shown
    assert "test_graph.py:" in shown
