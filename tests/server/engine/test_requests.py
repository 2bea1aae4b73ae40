"""Everything that may be asked of a graph, alone and at once."""

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, cast, sin, tanh
from chainrule.ir.graph import Graph
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.requests import Kind, Request, extend
from support.engine_run import run
from support.losses import total
from support.written import f8, graph, i8

X = np.array([0.3, -1.2, 0.9])
K = np.array(2)


def _body(x: Expr, w: Expr, k: Expr) -> dict[str, Expr]:
    return {"loss": total(sin(x * w)) + cast(k, x.dtype), "aux": tanh(x), "count": k}


GRAPH = graph({"x": f8(3), "w": f8(), "k": i8()}, _body)
FEEDS = {"x": X, "w": np.array(0.5), "k": K}


def test_all_kinds_at_once() -> None:
    ask = [
        Request(Kind.VALUE),
        Request(Kind.GRAD, ("x", "w")),
        Request(Kind.VJP, ("x",)),
        Request(Kind.VJP, ("x",), ("aux",)),
        Request(Kind.JVP, ("w", "x")),
        Request(Kind.JVP, ("x",), ("aux", "loss")),
        Request(Kind.HVP, ("x",)),
        Request(Kind.HVP, ("x", "w")),
    ]
    check(extend(GRAPH, ask))
    program = compile_request(GRAPH, ask)
    extra = {
        "ct/2/loss": np.array(2.0),
        "ct/2/aux": np.arange(3.0),
        "ct/3/aux": np.ones(3),
        "t/4/w": np.array(1.0),
        "t/4/x": np.zeros(3),
        "t/5/x": np.arange(3.0),
        "v/6/x": np.ones(3),
        "v/7/x": np.ones(3),
        "v/7/w": np.array(0.0),
    }
    assert {p.name for p in program.inputs} == {*FEEDS, *extra}
    got = run(program, 1, FEEDS | extra)
    c, s, slope = np.cos(X / 2), np.sin(X / 2), 1 - np.tanh(X) ** 2
    want = {
        "value/loss": s.sum() + 2,
        "value/aux": np.tanh(X),
        "value/count": K,
        "grad/1/x": c / 2,
        "grad/1/w": (X * c).sum(),
        "vjp/2/x": c + np.arange(3.0) * slope,
        "vjp/3/x": slope,
        "jvp/4/loss": (X * c).sum(),
        "jvp/4/aux": np.zeros(3),
        "jvp/5/aux": np.arange(3.0) * slope,
        "jvp/5/loss": (np.arange(3.0) * c / 2).sum(),
        "hvp/6/x": -s / 4,
        "hvp/7/x": -s / 4,
        "hvp/7/w": (c - X * s / 2).sum(),
    }
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-13, atol=1e-15, err_msg=name)


def test_requests_share_the_forward_pass() -> None:
    def ops(*kinds: Kind) -> list[str]:
        ask = [Request(k, () if k is Kind.VALUE else ("x",)) for k in kinds]
        program = compile_request(GRAPH, ask)
        return [op for stage in program.stages for op in stage.function.ops]

    assert ops(Kind.VALUE, Kind.GRAD, Kind.HVP).count("Sin") == 1
    assert len(ops(Kind.GRAD, Kind.GRAD)) == len(ops(Kind.GRAD))


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        ([], ErrorCode.MISSING_FIELD),
        ([Request(Kind.GRAD, ("y",))], ErrorCode.BAD_REF),
        ([Request(Kind.JVP, ("x",), ("nowhere",))], ErrorCode.BAD_REF),
        ([Request(Kind.VJP, ("x",), ("nowhere",))], ErrorCode.BAD_REF),
        ([Request(Kind.GRAD, ("k",))], ErrorCode.NOT_DIFFERENTIABLE),
        ([Request(Kind.HVP, ("k",))], ErrorCode.NOT_DIFFERENTIABLE),
        ([Request(Kind.VJP, ("x",), ("count",))], ErrorCode.NOT_DIFFERENTIABLE),
        ([Request(Kind.JVP, ("x", "x"))], ErrorCode.DUPLICATE_NAME),
        ([Request(Kind.GRAD, ("x", "x"))], ErrorCode.ATTR_RANGE),
    ],
)
def test_what_can_not_be_asked(ask: list[Request], code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as caught:
        extend(GRAPH, ask)
    assert caught.value.code is code


@pytest.mark.parametrize("kind", [Kind.GRAD, Kind.HVP])
@pytest.mark.parametrize(
    "g",
    [
        graph({"x": f8(3)}, lambda x: sin(x)),
        graph({"x": f8(1)}, lambda x: sin(x)),
        graph({"x": f8(), "k": i8()}, lambda x, k: {"k": k, "y": sin(x)}),
    ],
)
def test_a_gradient_is_of_a_float_scalar(g: Graph, kind: Kind) -> None:
    with pytest.raises(ChainruleError, match="ask for a vjp") as caught:
        extend(g, [Request(kind, ("x",))])
    assert caught.value.code is ErrorCode.BAD_LOSS


def test_a_feed_of_ours_may_not_meet_an_input_of_theirs() -> None:
    g = graph({"x": f8(), "ct/0/out": f8()}, lambda x, c: sin(x) * c)
    with pytest.raises(ChainruleError, match="two inputs are called 'ct/0/out'") as caught:
        extend(g, [Request(Kind.VJP, ("x",))])
    assert caught.value.code is ErrorCode.DUPLICATE_NAME


def test_the_graph_asked_of_may_itself_hold_functions() -> None:
    inner = graph({"x": f8()}, lambda x: {"loss": sin(x) * x})
    asked = extend(inner, [Request(Kind.GRAD, ("x",))])
    again = extend(Graph(asked.functions), [Request(Kind.GRAD, ("x",)), Request(Kind.HVP, ("x",))])
    check(again)
    got = run(compile_request(Graph(asked.functions), [Request(Kind.GRAD, ("x",))]), 1, {"x": X[0]})
    np.testing.assert_allclose(got["grad/0/x"], 2 * np.cos(0.3) - 0.3 * np.sin(0.3), rtol=1e-15)
