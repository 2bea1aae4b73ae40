"""A forward with residuals and the derivatives that go with it."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.expr import Expr, reduce_sum, sin, tanh
from chainrule.ir.graph import Graph
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.linearize import linearize
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run
from support.losses import total
from support.random_graphs import random_function
from support.written import N, f8, feeds_for, graph, i8

X = np.array([0.3, -1.2, 0.9])
ROWS = np.random.default_rng(0).normal(size=(100, 3))


def _body(w: Expr, x: Expr, k: Expr) -> dict[str, Expr]:
    y = tanh(sin(reduce_sum(x * w, (1,))))
    return {"y": y, "loss": total(y * y), "k": k}


GRAPH = graph({"w": f8(3), "x": f8(N, 3), "k": i8()}, _body)
FEEDS = {"w": X, "x": ROWS, "k": np.array(1)}
SEEDS = {
    Kind.VJP: {"ct/y": np.arange(100.0), "ct/loss": np.array(2.0)},
    Kind.JVP: {"t/w": np.ones(3), "t/x": np.ones((100, 3))},
}


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("lanes", [0, 3])
def test_forward_then_derivative_is_the_request_s(kind: Kind, lanes: int) -> None:
    cut = linearize(GRAPH, ("w", "x"), (), microshard=16)
    forward = run(cut.forward, 100, FEEDS, workers=2)
    seeds = SEEDS[kind]
    if lanes:
        seeds = {name: np.stack([a * k for k in range(lanes)]) for name, a in seeds.items()}
    program = cut.derivative(kind, lanes)
    assert program is cut.derivative(kind, lanes)
    assert not program.notices
    got = run(program, 100, forward | seeds, workers=2)
    whole = compile_request(GRAPH, [Request(kind, ("w", "x"), ("y", "loss"), lanes)], microshard=16)
    renamed = {name.replace("/", "/0/", 1): a for name, a in seeds.items()}
    want = run(whole, 100, FEEDS | renamed)
    for name, value in got.items():
        expected = want[name.replace("/", "/0/", 1)]
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14, err_msg=name)


def test_the_derivative_has_no_forward_in_it() -> None:
    cut = linearize(GRAPH, ("w",), ("y",))
    for kind in SEEDS:
        ops = {op for stage in cut.derivative(kind).stages for op in stage.function.ops}
        assert {"Tanh", "Sin", "Cos"}.isdisjoint(ops)
    whole = compile_request(GRAPH, [Request(Kind.VALUE), Request(Kind.VJP, ("w",), ("y",))])
    parts = cut.forward.layout(64).flops + cut.derivative(Kind.VJP).layout(64).flops
    assert parts <= 1.05 * whole.layout(64).flops


def test_names_are_those_of_every_float_where_none_is_given() -> None:
    cut = linearize(GRAPH, (), ())
    assert (cut.wrt, cut.outs) == (("w", "x"), ("y", "loss"))
    assert (cut.seeds(Kind.VJP), cut.results(Kind.VJP)) == (cut.outs, cut.wrt)


@pytest.mark.parametrize(
    ("wrt", "outs", "code"),
    [
        (("nowhere",), (), ErrorCode.BAD_REF),
        ((), ("nowhere",), ErrorCode.BAD_REF),
        (("k",), (), ErrorCode.NOT_DIFFERENTIABLE),
        ((), ("k",), ErrorCode.NOT_DIFFERENTIABLE),
    ],
)
def test_what_has_no_derivative(wrt: tuple[str, ...], outs: tuple[str, ...], code: object) -> None:
    with pytest.raises(ChainruleError) as caught:
        linearize(GRAPH, wrt, outs)
    assert caught.value.code is code


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.booleans())
def test_lanes_and_leases_of_any_graph_are_its_single_derivatives(seed: int, batched: bool) -> None:
    f = random_function(random.Random(seed), batched=batched)
    g, n, rng = Graph((f,)), 5, np.random.default_rng(seed)
    feeds = feeds_for(f, n, seed)
    ins = {x: a for x, a in zip(f.input_names, f.in_avals, strict=True) if a.dtype.is_float}
    outs = {x: a for x, a in zip(f.output_names, f.out_avals, strict=True) if a.dtype.is_float}
    drawn = {
        Kind.VJP: {f"ct/{o}": rng.normal(size=(2, *a.concrete(n).dims)) for o, a in outs.items()},
        Kind.JVP: {f"t/{i}": rng.normal(size=(2, *a.concrete(n).dims)) for i, a in ins.items()},
    }
    cut = linearize(g, tuple(ins), tuple(outs))
    residuals = run(cut.forward, n, feeds)
    for kind, seeds in drawn.items():
        many = run(cut.derivative(kind, 2), n, residuals | seeds)
        single = compile_request(g, [Request(kind, tuple(ins), tuple(outs))])
        for k in range(2):
            renamed = {name.replace("/", "/0/", 1): a[k] for name, a in seeds.items()}
            for name, value in run(single, n, feeds | renamed).items():
                size = max(1.0, float(abs(value).max(initial=0.0)))
                found = many[name.replace("/0/", "/", 1)][k]
                np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-11 * size)
