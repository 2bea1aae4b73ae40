"""The chain rule made visible: every number against the closed form, every sum accounted for."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cast, gather, reduce_sum, sin, tanh
from chainrule.ir.graph import Graph
from chainrule_server.engine.explain import ExplainedNode, explain, to_text
from chainrule_server.engine.plan import plan_function
from support.engine_run import run
from support.random_graphs import random_function
from support.written import Array, N, f8, feeds_for, function, graph, i8


def _article() -> Graph:
    """y = sin((2 x + 1)^2), with labels and lines."""
    b = Builder()
    x = Expr(b, b.input("x", f8()))
    b.label, b.line = "u", "article.py:3"
    u = x * 2.0 + 1.0
    b.label, b.line = "v", "article.py:4"
    v = u**2
    b.label, b.line = "y", "article.py:5"
    y = sin(v)
    return Graph((b.finish([y.id], ["y"]),), (b.debug(),))


def known(value: Array | None) -> Array:
    """What has to be there."""
    assert value is not None
    return value


def table(
    g: Graph, wrt: tuple[str, ...], feeds: dict[str, Array], n: int = 1, **kw: Any
) -> tuple[ExplainedNode, ...]:
    explanation = explain(g, wrt, **kw)
    return explanation.nodes(run(explanation.program, n, feeds))


X = 0.3
U, V = 2 * X + 1, (2 * X + 1) ** 2


def test_every_number_of_the_article_is_the_closed_form() -> None:
    nodes = table(_article(), ("x",), {"x": np.array(X)})
    by_op = {n.op: n for n in nodes if n.op != "Constant"}
    assert list(by_op) == ["Input", "Mul", "Add", "IntPow", "Sin"]
    values = {"Input": X, "Mul": 2 * X, "Add": U, "IntPow": V, "Sin": np.sin(V)}
    local = {"Mul": 2.0, "Add": 1.0, "IntPow": 2 * U, "Sin": np.cos(V)}
    incoming = {
        "Sin": 1.0,
        "IntPow": np.cos(V),
        "Add": np.cos(V) * 2 * U,
        "Mul": np.cos(V) * 2 * U,
        "Input": 4 * U * np.cos(V),
    }
    for op, value in values.items():
        np.testing.assert_allclose(by_op[op].value, value, rtol=1e-15)
    for op, value in incoming.items():
        np.testing.assert_allclose(known(by_op[op].incoming), value, rtol=1e-14)
    for op, value in local.items():
        edge = by_op[op].edges[0]
        np.testing.assert_allclose(known(edge.local), value, rtol=1e-15)
        assert edge.outgoing is not None
        np.testing.assert_allclose(known(edge.outgoing), incoming[op] * value, rtol=1e-14)
    rules = {op: [e.rule for e in by_op[op].edges] for op in local}
    assert rules == {
        "Mul": ["ct * 2"],
        "Add": ["ct"],
        "IntPow": ["ct * (2 * %4)"],
        "Sin": ["ct * cos(%5)"],
    }
    assert [(by_op[op].label, by_op[op].line) for op in ("Add", "Sin")] == [
        ("u", "article.py:3"),
        ("y", "article.py:5"),
    ]
    assert by_op["Input"].label == "x"


def test_the_text_of_the_article() -> None:
    text = to_text(table(_article(), ("x",), {"x": np.array(X)}))
    assert text.startswith("forward\n  %0   x ")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "%2 Mul(%0, 2) = 0.6 article.py:3" in lines
    assert f"%6 Sin(%5) = {np.sin(V):.10g} article.py:5" in lines
    assert lines.index("backward") > lines.index("forward")
    assert any(line.startswith(f"local derivative cos(%5) = {np.cos(V):.10g}") for line in lines)
    assert f"cotangent {4 * U * np.cos(V):.10g}" in text


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_incoming_is_the_sum_of_what_was_sent(seed: int) -> None:
    f = random_function(random.Random(seed), nodes=8, scalar=True)
    feeds = feeds_for(f, 1, seed)
    explanation = explain(Graph((f,)), ())
    nodes = explanation.nodes(run(explanation.program, 1, feeds))
    f = explanation.flat.function
    target = f.outputs[0]
    sums: dict[int, Array] = {target: np.ones(f.avals[target].dims)}
    for node in reversed(nodes):
        for edge in node.edges:
            if edge.outgoing is not None:
                assert edge.outgoing.shape == nodes[edge.input].value.shape
                sums[edge.input] = sums.get(edge.input, np.zeros(())) + edge.outgoing
            if edge.local is not None and edge.outgoing is not None and node.incoming is not None:
                sent = np.sum(node.incoming * edge.local)
                np.testing.assert_allclose(edge.outgoing.sum(), sent, rtol=1e-9, atol=1e-10)
    for node in nodes:
        if node.incoming is not None:
            np.testing.assert_allclose(
                known(node.incoming), sums[node.node], rtol=1e-10, atol=1e-12
            )


def test_only_what_is_asked_for_is_differentiated() -> None:
    g = graph({"x": f8(3), "w": f8(3)}, lambda x, w: reduce_sum(sin(x) * tanh(w), (0,)))
    feeds = {"x": np.ones(3), "w": np.ones(3)}
    by_label = {n.label or n.op: n for n in table(g, ("w",), feeds)}
    assert by_label["x"].incoming is None
    assert by_label["Sin"].incoming is None
    np.testing.assert_allclose(
        known(by_label["w"].incoming), np.sin(1) * (1 - np.tanh(1) ** 2) * np.ones(3)
    )
    assert {n.label for n in table(g, (), feeds) if n.op == "Input" and n.incoming is not None} == {
        "x",
        "w",
    }


def test_any_float_output_may_be_explained() -> None:
    g = graph({"x": f8(2)}, lambda x: {"a": sin(x), "b": x * 3.0})
    nodes = table(g, (), {"x": np.ones(2)}, output="b")
    np.testing.assert_array_equal(known(nodes[0].incoming), [3.0, 3.0])


def test_integers_and_gathers_have_rules_without_local_derivative() -> None:
    g = graph(
        {"t": f8(4), "k": i8(2)},
        lambda t, k: reduce_sum(gather(t, k, 0) * cast(k, f8().dtype), (0,)),
    )
    nodes = table(g, (), {"t": np.ones(4), "k": np.array([1, 1])})
    (gathered,) = [n for n in nodes if n.op == "Gather"]
    assert [(e.input, e.local) for e in gathered.edges] == [(0, None)]
    assert "scatterAdd" in gathered.edges[0].rule
    np.testing.assert_array_equal(known(nodes[0].incoming), [0.0, 2.0, 0.0, 0.0])
    assert "rule scatterAdd" in to_text(nodes)


def test_a_batch_is_explained_as_a_whole() -> None:
    g = graph({"w": f8(3), "x": f8(N, 3)}, lambda w, x: reduce_sum(tanh(x * w), (0, 1)))
    x = np.linspace(-1.0, 1.0, 15).reshape(5, 3)
    nodes = table(g, ("w",), {"w": np.ones(3), "x": x}, n=5)
    np.testing.assert_allclose(
        known(nodes[0].incoming), (x * (1 - np.tanh(x) ** 2)).sum(0), rtol=1e-13
    )
    assert nodes[1].value.shape == (5, 3)


@pytest.mark.parametrize(
    ("wrt", "output", "code"),
    [
        (("z",), "", ErrorCode.BAD_REF),
        ((), "z", ErrorCode.BAD_REF),
        ((), "k", ErrorCode.BAD_LOSS),
    ],
)
def test_refusals(wrt: tuple[str, ...], output: str, code: ErrorCode) -> None:
    g = graph({"x": f8(), "k": i8()}, lambda x, k: {"y": sin(x), "k": k})
    with pytest.raises(ChainruleError) as caught:
        explain(g, wrt, output)
    assert caught.value.code is code


def test_what_nobody_would_read_is_refused() -> None:
    def body(x: Expr) -> Expr:
        for _ in range(2_000):
            x = sin(x)
        return x

    with pytest.raises(ChainruleError, match="explain a smaller function") as caught:
        explain(graph({"x": f8()}, body), ())
    assert caught.value.code is ErrorCode.TOO_MANY_NODES


def test_the_plan_of_an_explanation_keeps_every_value() -> None:
    explanation = explain(Graph((function({"x": f8(2)}, lambda x: sin(x) * x),)), ())
    (stage,) = explanation.program.stages
    plan = plan_function(stage.function)
    assert len(explanation.flat.function) == 3
    assert len(plan.copies) + len([h for h in plan.homes if h and h.kind == "output"]) == len(
        stage.function.outputs
    )
